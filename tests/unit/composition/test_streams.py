"""Which ticks come to this process by its own feeds, and which through Redis."""

from __future__ import annotations

import pytest

from app.broker.market import Mode
from app.composition.streams import StreamedTicks
from tests.integration.market.scripted import ScriptedFeed

TOKEN = 408065


class Running:
    """Whether the account's feed runs in this process."""

    def __init__(self, *, here: bool) -> None:
        self.here = here

    def runs_here(self, account_id: str) -> bool:
        return self.here


class NothingYet:
    """No tick has come."""

    def last_json(self, instrument_token: int) -> bytes | None:
        return None


@pytest.mark.parametrize("here", [True, False])
def test_a_subscribed_instrument_is_streamed_where_its_feed_runs(here: bool) -> None:
    """Every replica knows the subscription; a socket of one without the feed must listen to Redis."""
    feed = ScriptedFeed()
    feed.subscribe({TOKEN: Mode.FULL})
    source = StreamedTicks({"primary": feed}, owners=Running(here=here), newest=NothingYet())
    assert source.is_subscribed(TOKEN)
    assert source.is_streamed_here(TOKEN) is here
    assert not source.is_streamed_here(1)
