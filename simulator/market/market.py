"""The market as its neighbours see it: instruments by token, quotes, steps in time, and who hears of changes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from simulator.market.instrument import Instrument
from simulator.market.quote import Quote
from simulator.market.sessions import SessionMode


class Market:
    """Every instrument of the day with its present quote. Not thread-safe: one event loop owns it.

    `step` is deterministic: the same seed, start and sequence of calls give the same prices.
    """

    def __init__(
        self, *, seed: int, now: datetime, sessions: SessionMode = "always", ticks_per_second: float = 500.0
    ) -> None:
        """`ticks_per_second`: quote changes a second over the watched instruments (each at most once a step); 0 stops."""
        self.ticks_per_second = ticks_per_second
        raise NotImplementedError(seed, now, sessions)

    @property
    def instruments(self) -> Mapping[int, Instrument]:
        """By instrument token; replaced by a new mapping when the trading day changes."""
        raise NotImplementedError

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        raise NotImplementedError

    def quote(self, token: int) -> Quote:
        """Raises KeyError for an unknown token."""
        raise NotImplementedError

    def last_price(self, token: int) -> Decimal:
        """Raises KeyError for an unknown token."""
        raise NotImplementedError

    def is_open(self, token: int, now: datetime) -> bool:
        """Whether the instrument's segment trades at `now` (always true with sessions `always`)."""
        raise NotImplementedError

    def set_price(
        self,
        token: int,
        last_price: Decimal | None = None,
        *,
        frozen: bool | None = None,
        liquidity: int | None = None,
    ) -> None:
        """Put the price where a person wants it; None leaves a thing as it is.

        Frozen: the price stays until unfrozen. Liquidity: the whole quantity on each side of the book, all of it at the
        best price (0: an empty book). Raises KeyError for an unknown token, ValueError for a price off the tick size.
        """
        raise NotImplementedError

    def step(self, now: datetime) -> Sequence[int]:
        """Advance the paths to `now`; the tokens whose quote changed, already told to the listeners."""
        raise NotImplementedError

    def on_change(self, listener: Callable[[Sequence[int]], None]) -> None:
        """Call `listener(tokens)` after every change, from `step`, `set_price` and `record_trade`."""
        raise NotImplementedError

    def record_trade(self, token: int, price: Decimal, quantity: int, at: datetime) -> None:
        """Show a fill of ours in last price, last quantity, volume, average and day range."""
        raise NotImplementedError

    def reset(self, now: datetime) -> None:
        """A fresh day at `now`: overrides forgotten, universe and state rebuilt."""
        raise NotImplementedError
