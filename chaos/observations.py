"""What was seen from outside while a run went on: when orders went again, what health said, how long answers took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Orders that were sent again and again after a fault, until one was placed."""

    account_id: str
    replica: str
    after: str
    """The fault, in words."""

    began_at: datetime
    """When the fault was over."""

    seconds: float | None
    """From then until the broker had accepted one; None: it had not within the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSample:
    """What one replica's health said of one account."""

    at: datetime
    replica: str
    account_id: str
    reasons: tuple[str, ...]
    """Why it cannot trade; empty: it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedAnswer:
    """An answer, or the end of waiting for one. Answers of replicas that were paused or killed meanwhile are none."""

    request: str
    replica: str
    wait_s: float
    """What the request asked for."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WallCheck:
    """How long an account's orders took while another account was well, and while it was broken."""

    account_id: str
    broken: str
    before_s: float
    during_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Everything of one run."""

    recoveries: Sequence[Recovery] = ()
    health: Sequence[HealthSample] = ()
    answers: Sequence[TimedAnswer] = ()
    walls: Sequence[WallCheck] = ()
    residuals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of rolled back batches, by batch and tradingsymbol, as the service answers."""
