"""The ticker WebSocket as a client sees it."""

import asyncio
import json
import time
from dataclasses import replace
from decimal import Decimal

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.simulator.ticker_client import (
    HEARTBEAT,
    INFY,
    LIVELY,
    NIFTY,
    QUIET,
    RELIANCE,
    SBIN,
    WAIT_S,
    simulator,
    ticker,
    until,
)


@pytest.mark.parametrize(
    ("query", "status", "error_type"),
    [
        ("", 400, "InputException"),
        ("?api_key=simkey", 400, "InputException"),
        ("?access_token=simtoken&api_key=", 400, "InputException"),
        ("?api_key=simkey&access_token=dead", 403, "TokenException"),
        ("?api_key=other&access_token=simtoken", 403, "TokenException"),
    ],
)
async def test_upgrade_is_refused_with_kites_envelope(query: str, status: int, error_type: str) -> None:
    """The upgrade gets an HTTP status and a JSON body with the reason."""
    async with simulator() as running:
        with pytest.raises(InvalidStatus) as refusal:
            await connect(f"{running.ws_url}/{query}", compression=None)
        response = refusal.value.response
        assert response.status_code == status
        assert response.body is not None
        body = json.loads(response.body)
        assert (body["status"], body["error_type"]) == ("error", error_type)
        assert running.simulator.sockets.stats() == []


async def test_fourth_socket_of_a_key_is_refused_until_one_closes() -> None:
    """Three are allowed for a key; another key is not affected."""
    async with simulator(replace(QUIET, accounts=2)) as running:  # noqa: SIM117 - sockets after the simulator
        async with ticker(running), ticker(running), ticker(running) as third:
            with pytest.raises(InvalidStatus) as refusal:
                await connect(f"{running.ws_url}/?api_key=simkey&access_token=simtoken")
            assert refusal.value.response.status_code == 429
            async with ticker(running, account="2"):
                assert running.simulator.sockets.count_by_key() == {"simkey": 3, "simkey2": 1}
            await third.socket.close()
            await until(lambda: running.simulator.sockets.count_by_key() == {"simkey": 2})
            async with ticker(running):
                pass


async def test_subscribing_sends_a_snapshot_and_then_changes_only() -> None:
    """Quote packets by default; a frozen market sends heartbeats only; a change of depth is a packet."""
    async with simulator(replace(QUIET, heartbeat_s=0.05)) as running, ticker(running) as client:
        await client.send("subscribe", [INFY, str(NIFTY)])
        assert await client.ticks() == {INFY: 44, NIFTY: 28}
        assert set(await client.frames_within(0.2)) == {HEARTBEAT}
        running.simulator.market.set_price(INFY, liquidity=7)
        assert await client.ticks() == {INFY: 44}


async def test_modes_have_their_lengths_and_ltp_sends_prices_only() -> None:
    """184 and 32 bytes in full, 8 in ltp; in mode ltp a change of depth is not sent, a change of price is."""
    async with simulator(replace(QUIET, heartbeat_s=0.05)) as running, ticker(running) as client:
        await client.send("mode", ["full", [INFY, NIFTY]])
        assert await client.ticks() == {INFY: 184, NIFTY: 32}
        await client.send("mode", ["ltp", [INFY]])
        assert await client.ticks() == {INFY: 8}
        market = running.simulator.market
        running.simulator.market.record_trade(INFY, market.last_price(INFY), 5, running.simulator.clock.now())
        await client.send("unsubscribe", [NIFTY])
        await until(lambda: running.simulator.sockets.stats()[0].tokens == 1)
        market.set_price(NIFTY, Decimal(25_000))
        assert set(await client.frames_within(0.2)) == {HEARTBEAT}
        market.set_price(INFY, market.last_price(INFY) + 1)
        assert await client.ticks() == {INFY: 8}


async def test_live_market_ticks_everything_that_is_subscribed() -> None:
    """Each instrument changes within about a second, in any frames."""
    async with simulator(LIVELY) as running, ticker(running) as client:
        wanted = {INFY, RELIANCE, SBIN, NIFTY}
        await client.send("subscribe", sorted(wanted))
        assert set(await client.ticks()) == wanted
        seen: set[int] = set()
        async with asyncio.timeout(WAIT_S):
            while seen != wanted:
                seen |= set(await client.ticks())


async def test_idle_socket_gets_one_byte_binary_heartbeats() -> None:
    """The JavaScript and Go clients reconnect after five seconds without a message; pings do not count."""
    async with simulator(replace(QUIET, heartbeat_s=0.1)) as running, ticker(running) as client:
        began = time.monotonic()
        assert [await client.frame() for _ in range(4)] == [HEARTBEAT] * 4
        assert time.monotonic() - began >= 0.2  # three pauses, of which the first may have begun before


@pytest.mark.parametrize(
    "message", ["", "nonsense", "[]", '{"a":"subscribe","v":"all"}', '{"a":"mode","v":["deep",[1]]}', b"\x00\x01"]
)
async def test_malformed_message_is_answered_and_the_socket_goes_on(message: str | bytes) -> None:
    """The client gets an error text, and the socket works."""
    async with simulator() as running, ticker(running) as client:
        await client.socket.send(message)
        answer = await client.text()
        assert answer["type"] == "error"
        assert isinstance(answer["data"], str)
        await client.send("subscribe", [INFY])
        assert await client.ticks() == {INFY: 44}


async def test_instruments_above_three_thousand_get_an_error_and_the_others_tick() -> None:
    """The connection stays; three thousand snapshots come in one frame."""
    async with simulator() as running, ticker(running) as client:
        tokens = list(running.simulator.market.instruments)[:3_005]
        await client.send("mode", ["full", tokens])
        assert (await client.text())["data"].startswith("Maximum 3000 instruments allowed per connection; 5 not")
        await client.send("subscribe", tokens[:1])
        assert running.simulator.sockets.stats()[0].tokens == 3_000
        assert len(await client.ticks()) in {1, 3_000}


async def test_order_updates_reach_every_socket_of_the_user_and_no_other() -> None:
    """Text frames with type and data, in order."""
    async with simulator(replace(QUIET, accounts=2)) as running:  # noqa: SIM117 - the sockets need a line
        async with ticker(running) as first, ticker(running) as second, ticker(running, account="2") as stranger:
            await until(lambda: len(running.simulator.sockets.stats()) == 3)
            for number in range(3):
                running.simulator.sockets.push_order("SIM001", {"order_id": str(number), "price": Decimal("1.5")})
            for client in (first, second):
                for number in range(3):
                    expected = {"type": "order", "data": {"order_id": str(number), "price": 1.5}}
                    assert await client.text() == expected
            assert not [frame for frame in await stranger.frames_within(0.2) if isinstance(frame, str)]


async def test_a_slow_reader_misses_ticks_but_no_order_and_affects_no_other() -> None:
    """While it does not read, ticks conflate and order texts wait; another socket gets everything."""
    async with simulator(replace(LIVELY, ticks_per_second=200_000.0)) as running:  # noqa: SIM117 - the same
        async with ticker(running) as slow, ticker(running) as quick:
            tokens = list(running.simulator.market.instruments)[:3_000]
            await slow.send("mode", ["full", tokens])
            slow.socket.transport.pause_reading()
            await quick.send("subscribe", [INFY])
            for number in range(50):
                running.simulator.sockets.push_order("SIM001", {"order_id": str(number)})
                await asyncio.sleep(0.01)
            by_tokens = {stats.tokens: stats for stats in running.simulator.sockets.stats()}
            produced = sum([len(await quick.ticks()) for _ in range(20)])
            assert produced == 20
            assert by_tokens[3_000].ticks_sent < 50 * 3_000, "far less than what the market made"
            slow.socket.transport.resume_reading()
            orders = [(await slow.text())["data"]["order_id"] for _ in range(50)]
            assert orders == [str(number) for number in range(50)]


async def test_a_client_that_never_reads_is_disconnected_above_the_limit_of_texts() -> None:
    """A thousand order texts wait for it; then its connection is ended, and the others stay."""
    async with simulator() as running, ticker(running) as slow, ticker(running) as quick:
        await until(lambda: len(running.simulator.sockets.stats()) == 2)
        slow.socket.transport.pause_reading()
        filler = "x" * 10_000
        for _ in range(3_000):
            running.simulator.sockets.push_order("SIM001", {"filler": filler})
            await asyncio.sleep(0)
            if len(running.simulator.sockets.stats()) == 1:
                break
            while len(await quick.frame()) < 1_000:
                pass
        await until(lambda: len(running.simulator.sockets.stats()) == 1)
        assert quick.socket.state.name == "OPEN"


async def test_day_roll_keeps_sockets_ticking() -> None:
    """Rows change with the day; subscriptions follow their tokens."""
    async with simulator(LIVELY) as running, ticker(running) as client:
        await client.send("mode", ["full", [INFY, NIFTY]])
        await client.ticks()
        running.simulator.market.reset(running.simulator.clock.now())
        seen: set[int] = set()
        async with asyncio.timeout(WAIT_S):
            while seen != {INFY, NIFTY}:
                ticks = await client.ticks()
                assert set(ticks.values()) <= {184, 32}
                seen |= set(ticks)


@pytest.mark.parametrize("violation", ["x" * (1 << 21), b"\xff\xfe"])
async def test_protocol_violation_ends_that_socket_quietly(
    violation: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A message above the size limit or a text that is no UTF-8 closes the socket, and nothing else."""
    async with simulator(replace(LIVELY, ticks_per_second=50_000.0)) as running, ticker(running) as client:
        await client.send("subscribe", list(running.simulator.market.instruments)[:500])
        await client.ticks()
        await client.socket.send(violation, text=True)
        with pytest.raises(ConnectionClosed) as closed:
            await client.frames_within(WAIT_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == (1009 if isinstance(violation, str) else 1007)
        await until(lambda: running.simulator.sockets.stats() == [])
    assert "Exception in ASGI application" not in caplog.text
