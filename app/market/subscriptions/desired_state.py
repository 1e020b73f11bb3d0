"""Subscriptions, decided: who wants what, what the feed must be told, how a token is doing. Pure.

A *want* is one owner's wish for one instrument at one account. An instrument stays while any owner wants it, in the
highest mode that any of them wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from app.broker.market import Mode

Key: TypeAlias = tuple[str, str]
"""(exchange, tradingsymbol): tokens are recycled after expiry, symbols are not."""


class TickStatus(StrEnum):
    """How far a wanted instrument has come."""

    REQUESTED = "requested"  # wanted; the broker does not know yet, or cannot: see ``error``
    ACTIVE = "active"  # asked of the broker on a live socket; no tick yet
    TICKING = "ticking"  # a tick has come, and is not too old
    STALE = "stale"  # its session is open and the last tick is too old


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    owner: str
    account_id: str
    exchange: str
    tradingsymbol: str
    instrument_token: int
    requested_mode: Mode
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> Key:
        return self.exchange, self.tradingsymbol


TokenOf: TypeAlias = Callable[[Want], int | None]
"""Today's token of a wanted instrument; None: it does not exist today."""

Place: TypeAlias = tuple[str, Key]
"""(account_id, instrument)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """One instrument at one account with everybody's wishes added up. ``token`` is today's; None: no such instrument
    today."""

    account_id: str
    exchange: str
    tradingsymbol: str
    stored_token: int
    token: int | None
    mode: Mode
    owners: Mapping[str, Mode]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedChange:
    """What to tell a feed so that it streams what is desired; what is right already is not in it."""

    subscribe: Mapping[int, Mode]
    unsubscribe: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetChange:
    """What must be stored so that an owner's set becomes the given one."""

    upsert: Mapping[Place, Mode]
    remove: tuple[Place, ...]


def highest(modes: Iterable[Mode]) -> Mode:
    return max(modes, key=lambda mode: mode.rank)


def add_up(wants: Iterable[Want], *, token_of: TokenOf) -> dict[Place, Desired]:
    """Wants added up by account and instrument."""
    grouped: dict[Place, list[Want]] = {}
    for want in wants:
        grouped.setdefault((want.account_id, want.key), []).append(want)
    return {place: _desired(group, token_of=token_of) for place, group in grouped.items()}


def _desired(group: Sequence[Want], *, token_of: TokenOf) -> Desired:
    newest = max(group, key=lambda want: want.updated_at)
    return Desired(
        account_id=newest.account_id,
        exchange=newest.exchange,
        tradingsymbol=newest.tradingsymbol,
        stored_token=newest.instrument_token,
        token=token_of(newest),
        mode=highest(want.requested_mode for want in group),
        owners={want.owner: want.requested_mode for want in group},
        created_at=min(want.created_at for want in group),
        updated_at=newest.updated_at,
    )


def modes_of(desired: Iterable[Desired], *, account_id: str) -> dict[int, Mode]:
    """What one account's feed should stream."""
    return {item.token: item.mode for item in desired if item.account_id == account_id and item.token is not None}


def plan_feed(desired: Mapping[int, Mode], actual: Mapping[int, Mode]) -> FeedChange:
    """The difference between what should be streamed and what the feed wants to have."""
    return FeedChange(
        subscribe={token: mode for token, mode in desired.items() if actual.get(token) is not mode},
        unsubscribe=tuple(token for token in actual if token not in desired),
    )


def plan_set(present: Mapping[Place, Mode], wanted: Mapping[Place, Mode]) -> SetChange:
    """From what an owner has to what it wants, leaving what is equal alone."""
    return SetChange(
        upsert={place: mode for place, mode in wanted.items() if present.get(place) is not mode},
        remove=tuple(place for place in present if place not in wanted),
    )


def choose_account(
    held_by: Iterable[str], *, loads: Mapping[str, int], preferred: str, capacity: int, needed: int = 1
) -> str | None:
    """The account for a new want: the one that streams the instrument already, then ``preferred``, then the emptiest.

    ``loads`` is instruments by account, every account that may be used among them. None: nowhere is room.
    """
    for account_id in held_by:
        if account_id in loads:
            return account_id
    if preferred in loads and loads[preferred] + needed <= capacity:
        return preferred
    emptiest = min(loads, key=lambda account_id: (loads[account_id], account_id), default=None)
    return emptiest if emptiest is not None and loads[emptiest] + needed <= capacity else None


def status_of(*, is_streamed: bool, is_connected: bool, has_ticked: bool, is_stale: bool) -> TickStatus:
    """``is_streamed``: the feed wants it; ``is_stale``: of the last tick, or of the silence since subscribing."""
    if not is_streamed:
        return TickStatus.REQUESTED
    if has_ticked:
        return TickStatus.STALE if is_stale else TickStatus.TICKING
    return TickStatus.ACTIVE if is_connected else TickStatus.REQUESTED


def is_feed_silent(*, quiet_s: float, open_since_s: Iterable[float | None], stale_after_s: float) -> bool:
    """Whether an account's feed should have ticked and did not.

    ``quiet_s`` is the time since its last tick, or since something was first wanted of it; ``open_since_s`` is how long
    each exchange it streams has been open (None: closed). One liquid instrument ticks every second, so a feed without
    any tick for this long while a market is open is not merely illiquid.
    """
    return any(since is not None and min(quiet_s, since) > stale_after_s for since in open_since_s)
