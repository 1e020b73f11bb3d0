"""Clients of the simulator benchmark, each in a process of its own: one counts ticks, one sends REST requests."""

from __future__ import annotations

import asyncio
import http.client
import json
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from urllib.parse import urlencode

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.machine import pin

FULL_PACKET = 184
TOKENS_PER_MESSAGE = 1_000
KEYS = "?api_key=simkey&access_token=simtoken"
AUTHORIZATION = {"Authorization": "token simkey:simtoken"}
EVERY_S = 0.02
"""Between two requests of the REST client, so that they do not affect each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a client received within ``seconds``."""

    ticks: int
    frames: int
    wrong: int
    """Frames whose length does not fit their number of full packets."""

    prices: int
    """Different prices in a sample."""

    seconds: float
    cpu_s: float
    """Of the client."""


class TickCounter(WSListener):
    """Reads the count of each container and checks it against the frame's length."""

    def __init__(self) -> None:
        self.ticks = 0
        self.frames = 0
        self.wrong = 0
        self.prices: set[bytes] = set()
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.BINARY:
            return
        payload = frame.get_payload_as_memoryview()
        size = len(payload)
        if size <= 2:
            return
        (count,) = struct.unpack_from(">H", payload)
        self.ticks += count
        self.frames += 1
        self.wrong += size != 2 + count * (FULL_PACKET + 2)
        self.prices.add(bytes(payload[8:12]))

    def subscribe(self, tokens: Sequence[int]) -> None:
        assert self.transport is not None
        for at in range(0, len(tokens), TOKENS_PER_MESSAGE):
            part = list(tokens[at : at + TOKENS_PER_MESSAGE])
            message = json.dumps({"a": "mode", "v": ["full", part]})
            self.transport.send(WSMsgType.TEXT, message.encode())


def count_ticks(
    core: int, port: int, tokens: Sequence[int], warm_up_s: float, seconds: float, pipe: Connection
) -> None:
    """Subscribes in full mode, counts for ``seconds`` after the warm-up, sends ``Counted``."""
    pin(core)
    pipe.send(asyncio.run(_count(port, tokens, warm_up_s=warm_up_s, seconds=seconds)))


async def _count(port: int, tokens: Sequence[int], *, warm_up_s: float, seconds: float) -> Counted:
    listener = TickCounter()
    transport, _ = await ws_connect(lambda: listener, f"ws://127.0.0.1:{port}/{KEYS}")
    listener.subscribe(tokens)
    await asyncio.sleep(warm_up_s)
    before, frames, started, cpu = listener.ticks, listener.frames, time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    counted = Counted(
        ticks=listener.ticks - before,
        frames=listener.frames - frames,
        wrong=listener.wrong,
        prices=len(listener.prices),
        seconds=time.monotonic() - started,
        cpu_s=time.process_time() - cpu,
    )
    transport.disconnect()
    await transport.wait_disconnected()
    return counted


def ask_rest(core: int, port: int, keys: Sequence[str], requests: int, pipe: Connection) -> None:
    """Sends a profile, a short quote, an order, the order book and sometimes a big quote; sends ms by request."""
    pin(core)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    taken: dict[str, list[float]] = {}
    for number in range(requests):
        for name, method, path, body in _round(keys, big=number % 10 == 0):
            time.sleep(EVERY_S)
            started = time.perf_counter()
            connection.request(method, path, body=body, headers=AUTHORIZATION)
            answer = connection.getresponse()
            content = answer.read()
            taken.setdefault(name, []).append((time.perf_counter() - started) * 1000)
            if answer.status != 200 or not content.startswith(b'{"status":"success"'):
                raise SystemExit(f"{name}: HTTP {answer.status} {content[:200]!r}")
    connection.close()
    pipe.send(taken)


def _round(keys: Sequence[str], *, big: bool) -> list[tuple[str, str, str, str | None]]:
    exchange, _, symbol = keys[0].partition(":")
    order = urlencode(
        {
            "exchange": exchange, "tradingsymbol": symbol, "transaction_type": "BUY", "quantity": 1, "product": "CNC",
            "order_type": "MARKET", "market_protection": -1, "validity": "DAY", "tag": "BENCH",
        }
    )  # fmt: skip
    requests = [
        ("profile", "GET", "/user/profile", None),
        ("ltp", "GET", "/quote/ltp?" + urlencode({"i": keys[0]}), None),
        ("order", "POST", "/orders/regular", order),
        ("book", "GET", "/orders", None),
    ]
    if big:
        requests.append(("quote of 500", "GET", "/quote?" + urlencode({"i": keys[:500]}, doseq=True), None))
    return requests
