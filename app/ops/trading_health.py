"""What health shows of whether an account can trade: what the views of orders know, as health reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol


class CandidateHealth(Protocol):
    """A running replica, and whether it may send the orders of one account; ``why`` is a sentence for an operator."""

    @property
    def replica(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def is_owner(self) -> bool: ...

    @property
    def may_send(self) -> bool: ...

    @property
    def why(self) -> str: ...


class TradingHealth(Protocol):
    """Whether an order of one account, placed now, would reach the broker; if not, ``reasons`` in a fixed order.

    ``detail`` has a sentence for each, not for callers without a key; ``since`` is None where that is not known.
    """

    @property
    def account_id(self) -> str: ...

    @property
    def can_trade(self) -> bool: ...

    @property
    def reasons(self) -> Sequence[str]: ...

    @property
    def detail(self) -> Mapping[str, str]: ...

    @property
    def candidates(self) -> Sequence[CandidateHealth]: ...

    @property
    def since(self) -> datetime | None: ...
