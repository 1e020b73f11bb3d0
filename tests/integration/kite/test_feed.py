"""What is received and requested on the ticker socket: frames, orders, notes, subscriptions."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from websockets.asyncio.server import ServerConnection

from app.broker.market import Mode
from app.errors import BadInput
from app.kite.feed import FeedSettings
from tests.integration.kite.feed_environment import FRAME, PACKET, heartbeats, running_feed, sending, ticker
from tests.integration.kite.scripted import closed_port


class TestFrames:
    async def test_packets_reach_the_listener_with_their_time(self) -> None:
        """Raw packets in order, our own clock in milliseconds beside them."""
        async with ticker(sending(FRAME)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.packets))
            assert listener.packets == [PACKET]
            assert abs(listener.received_at[0] / 1000 - time.time()) < 5
            assert (feed.state.packets, feed.state.malformed) == (1, 0)
            assert feed.state.last_tick_at == pytest.approx(time.time(), abs=5)

    async def test_heartbeats_are_life_and_nothing_else(self) -> None:
        """They keep the socket, and are neither packets nor malformed."""
        async with ticker() as server, running_feed(server.url, watchdog_s=3.0) as (feed, listener):
            await asyncio.sleep(3.5)
            assert (len(server.connections), listener.packets, feed.state.malformed) == (1, [], 0)
            assert feed.state.frames > 3
            assert feed.state.last_tick_at == 0.0

    async def test_pings_are_answered_and_count_as_life(self) -> None:
        """Any inbound frame is proof of a living peer."""

        async def ping(connection: ServerConnection, number: int) -> None:
            while True:
                await (await connection.ping())
                await asyncio.sleep(0.02)

        async with ticker(ping) as server, running_feed(server.url, watchdog_s=3.0) as (feed, _):
            await asyncio.sleep(3.5)
            assert (len(server.connections), feed.state.connected) == (1, True)

    async def test_malformed_frames_are_counted_and_dropped(self) -> None:
        """The socket stays, and the good frame after them is delivered."""
        bad = (b"", b"\x00\x01", b"\x00\x00\x00", FRAME[:-1], FRAME + b"\x00", "not json", "[]", '{"type":"order"}')
        async with ticker(sending(*bad, FRAME)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.packets))
            assert feed.state.malformed == len(bad)
            assert (len(server.connections), listener.packets) == (1, [PACKET])

    async def test_a_short_packet_is_no_tick(self) -> None:
        """Its frame goes on to where packets are counted; alone it does not say that the feed ticks."""
        short = b"\x00\x01\x00\x03abc"
        async with ticker(sending(short)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.packets))
            assert (len(server.connections), listener.packets, feed.state.malformed) == (1, [b"abc"], 0)
            assert feed.state.last_tick_at == 0.0

    async def test_a_fragmented_message_is_put_together(self) -> None:
        """WebSocket may split any message; the pieces are one frame."""

        async def split(connection: ServerConnection, number: int) -> None:
            await connection.send([FRAME[:3], FRAME[3:9], FRAME[9:]])
            await heartbeats(connection, number)

        async with ticker(split) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.packets))
            assert (listener.packets, feed.state.malformed) == ([PACKET], 0)

    async def test_a_message_beyond_the_bound_ends_the_socket(self) -> None:
        """4 MiB is seven times the largest frame of 3,000 instruments."""
        async with (
            ticker(sending(b"\x00" * (4 * 1024 * 1024 + 1))) as server,
            running_feed(server.url) as (_, listener),
        ):
            await listener.until(lambda: bool(listener.disconnected))
            assert listener.packets == []

    async def test_order_pushes_are_handed_over(self) -> None:
        """Kite's object as it came; unknown types are ignored."""
        push = json.dumps({"type": "order", "data": {"order_id": "1", "status": "COMPLETE"}})
        unknown = json.dumps({"type": "instruments_meta", "data": {"count": 1}})
        async with ticker(sending(unknown, push)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.orders))
            assert listener.orders == [{"order_id": "1", "status": "COMPLETE"}]
            assert feed.state.malformed == 0

    async def test_a_replaying_socket_is_distinguished_until_the_next_one(self) -> None:
        """By the text that a replaying simulator sends first; no other message means it."""

        async def replay_first(connection: ServerConnection, number: int) -> None:
            await connection.send(
                json.dumps({"type": "message", "data": "replay" if number == 0 else "replay is over"})
            )
            if number == 0:
                await asyncio.sleep(0.1)
                await connection.close(1012)
            else:
                await heartbeats(connection, number)

        async with ticker(replay_first) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: listener.replays == 1)
            assert feed.state.replaying
            await listener.until(lambda: listener.connected == [True, False] and feed.state.notes == 1)
            assert (listener.replays, feed.state.replaying) == (1, False)

    async def test_the_brokers_notes_are_counted_and_logged_without_the_token(self, logged: list[str]) -> None:
        """Even when the broker repeats the token to us; and a flood is cut."""
        notes = [json.dumps({"type": "error", "data": "who is token?"})] * 30
        async with ticker(sending(*notes)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: feed.state.notes == 30)
        lines = [line for line in logged if "broker's error" in line]
        assert len(lines) == 20
        assert "who is ***?" in lines[0]


class TestSubscriptions:
    async def test_a_change_names_only_what_changes(self) -> None:
        """Adding, changing a mode and removing never touch the others, and never restart the socket."""
        async with ticker() as server, running_feed(server.url, wanted={1: Mode.FULL}) as (feed, listener):
            await listener.until(lambda: len(server.said(0)) == 2)
            feed.subscribe({1: Mode.FULL, 2: Mode.QUOTE})
            feed.subscribe({1: Mode.LTP})
            feed.unsubscribe([2, 2, 99])
            await listener.until(lambda: len(server.said(0)) == 7)
            assert server.said(0)[2:] == [
                {"a": "subscribe", "v": [2]},
                {"a": "mode", "v": ["quote", [2]]},
                {"a": "subscribe", "v": [1]},
                {"a": "mode", "v": ["ltp", [1]]},
                {"a": "unsubscribe", "v": [2]},
            ]
            assert feed.subscriptions() == {1: Mode.LTP}
            assert len(server.connections) == 1

    async def test_subscriptions_before_the_connect_are_kept(self) -> None:
        """Subscriptions are a wish, connected or not."""
        with closed_port() as port:
            async with running_feed(f"ws://127.0.0.1:{port}") as (feed, _):
                feed.subscribe({5: Mode.FULL, 6: Mode.LTP})
                feed.unsubscribe([6])
                assert feed.subscriptions() == {5: Mode.FULL}

    async def test_a_change_beyond_the_sockets_limit_is_refused_whole(self) -> None:
        """The broker would answer an error for the surplus only; here nothing of the call is applied."""
        with closed_port() as port:
            async with running_feed(f"ws://127.0.0.1:{port}", max_tokens=3) as (feed, _):
                feed.subscribe(dict.fromkeys(range(3), Mode.LTP))
                feed.subscribe({0: Mode.FULL})
                with pytest.raises(BadInput, match="4 instruments on one socket, the broker allows 3"):
                    feed.subscribe({7: Mode.LTP})
                assert set(feed.subscriptions()) == {0, 1, 2}

    @pytest.mark.parametrize("url", ["http://ws.kite.trade", "ws.kite.trade", "wss://"])
    def test_a_bad_address_is_refused_at_once(self, url: str) -> None:
        """Not at the first connect, hours later."""
        with pytest.raises(ValueError, match="is not an address like wss"):
            FeedSettings(ws_url=url)
