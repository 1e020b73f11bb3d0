"""A replaying simulator behind the service's own feed: every tick says that it is a replay."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import msgspec
from pydantic import SecretStr

from app.broker.market import Mode
from app.broker.port import Credentials
from app.composition.market import FeedFanout
from app.kit.clock import SystemClock
from app.kit.histogram import LagCounter
from app.kite.feed import FeedSettings, KiteFeed
from app.kite.wire.ticks import decode_packet
from app.market.ticks.conflation import AccountTicks
from app.market.ticks.counters import FEED_LAG_BOUNDS_S
from simulator.replay import HEADER, RecordedFrame, encode_entry
from simulator.server import running_simulator
from simulator.settings import ReplaySettings, SimulatorSettings

INFY = 408065
SIGNED_IN = Credentials(api_key="simkey", api_secret=SecretStr("simsecret"), access_token=SecretStr("simtoken"))


class NoOrders:
    """Nothing follows the account's orders."""

    def on_order_hint(self, account_id: str) -> None:
        """No push comes."""

    def on_feed_connected(self, account_id: str) -> None:
        """No order book is read."""


async def test_ticks_of_a_recording_have_source_replay(tmp_path: Path) -> None:
    """From the file to the JSON that is published."""
    path = tmp_path / "session.frames"
    path.write_bytes(HEADER + encode_entry(RecordedFrame(1, struct.pack(">HHII", 1, 8, INFY, 160_000))))
    come = asyncio.Event()
    ticks = AccountTicks(
        "primary", decode=decode_packet, source="simulator", feed_lag=LagCounter(FEED_LAG_BOUNDS_S), wake=come.set
    )
    fanout = FeedFanout("primary", ticks=ticks, orders=NoOrders())
    async with running_simulator(SimulatorSettings(port=0, replay=ReplaySettings(path))) as simulator:
        feed = KiteFeed(
            FeedSettings(ws_url=simulator.ws_url),
            account_id="primary",
            credentials=lambda: SIGNED_IN,
            listener=fanout,
            clock=SystemClock(),
        )
        feed.subscribe({INFY: Mode.FULL})
        running = asyncio.create_task(feed.run())
        try:
            await asyncio.wait_for(come.wait(), 20)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    [(_, published)] = ticks.encode(list(ticks.take_fresh().items()), names={})
    tick = msgspec.json.decode(published)
    assert (tick["last_price"], tick["source"], feed.state.replaying) == (1600, "replay", True)
