"""The subscriptions in memory: exactly what PostgreSQL has at one version, and the streams that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.broker.market import Mode
from app.errors import Gone
from app.market.instruments.registry import InstrumentRegistry
from app.market.subscriptions import desired_state
from app.market.subscriptions.model import DesiredStream, StreamKey, Subscription


class CommittedSubscriptions:
    """``version`` is the table's when it was read or last changed from here; -1 before the first read.

    ``desired`` is by stream and always follows from the subscriptions and the instruments of today.
    """

    def __init__(self, instruments: InstrumentRegistry) -> None:
        self._instruments = instruments
        self._subscriptions: dict[tuple[str, StreamKey], Subscription] = {}
        self.version = -1
        self.desired: Mapping[StreamKey, DesiredStream] = {}

    def replace(self, subscriptions: Iterable[Subscription], *, version: int) -> None:
        """Everything was read anew: another replica has changed something."""
        self._subscriptions = {(one.owner, one.stream): one for one in subscriptions}
        self.version = version
        self.recombine()

    def apply(self, owner: str, *, stored: Sequence[Subscription], removed: Sequence[StreamKey]) -> None:
        """This process committed a change, which counted the version up by one."""
        for stream in removed:
            self._subscriptions.pop((owner, stream), None)
        self._subscriptions.update({(owner, one.stream): one for one in stored})
        self.version += 1
        self.recombine()

    def recombine(self) -> None:
        """The instruments of the day may be others: tokens change, instruments expire."""
        self.desired = desired_state.combine(self._subscriptions.values(), token_of=self._token_of)

    def modes_of(self, owner: str) -> dict[StreamKey, Mode]:
        """What one owner subscribes to, and in which mode."""
        return {stream: one.requested_mode for (who, stream), one in self._subscriptions.items() if who == owner}

    def find(self, owner: str, *, instrument_token: int, account_id: str | None) -> list[StreamKey]:
        """The streams of one owner's subscriptions to an instrument, by its token of today or the one that is stored.

        ``account_id`` None: at every account.
        """
        return [
            stream
            for (who, stream), one in self._subscriptions.items()
            if who == owner
            and account_id in {None, stream[0]}
            and instrument_token in {one.instrument_token, self.desired[stream].token}
        ]

    def owners_of(self, streams: Iterable[StreamKey]) -> list[str]:
        """Who subscribes to any of these streams, by name."""
        return sorted({name for stream in streams if stream in self.desired for name in self.desired[stream].owners})

    def exchanges_of(self, account_id: str) -> set[str]:
        """The exchanges of what is wanted of one account."""
        return {exchange for account, (exchange, _) in self.desired if account == account_id}

    def _token_of(self, subscription: Subscription) -> int | None:
        """Today's token by symbol; while no instruments are loaded at all, the stored one has to do."""
        instrument = self._instruments.find(subscription.exchange, subscription.tradingsymbol)
        if instrument is None:
            return None if self._instruments.by_token() else subscription.instrument_token
        try:
            return self._instruments.must_live(instrument).instrument_token
        except Gone:
            return None
