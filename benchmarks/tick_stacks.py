"""The two stacks that the tick benchmark compares, each in a process of its own.

``naive`` is what users write first: the official client's parser, ``json.dumps``, one awaited publish per tick.
``ours`` is the service's own path: its socket, its frame cutter and decoder, its pipeline and publisher; it also keeps
the last values, which the naive one does not.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from kiteconnect import KiteTicker
from loguru import logger
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.uri import parse_uri

from app.broker.market import Instrument
from app.db.redis_keys import RedisKeys
from app.kit.clock import SystemClock
from app.kite.socket import TickerSocket
from app.kite.wire.ticks import cut_frame, decode_packet
from app.market.ticks.conflation import AccountTicks
from app.market.ticks.pipeline import TickPipeline
from app.market.ticks.publisher import TickPublisher
from benchmarks.machine import pin
from benchmarks.tick_server import TURNS, token_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to receive: ``frames`` of which the first ``warm_up`` are not timed. ``flush_ms``: see the setting."""

    load_url: str
    redis_url: str
    frames: int
    warm_up: int
    tokens: int
    mode: str = "closed"
    flush_ms: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """``ticks`` in ``seconds``; ``cpu_s`` of this process meanwhile."""

    ticks: int
    seconds: float
    cpu_s: float


class Stopwatch:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._started = (0.0, 0.0)

    def frame_done(self, number: int) -> None:
        """``number`` counts from 1."""
        if number == self._job.warm_up:
            self._started = (time.perf_counter(), time.process_time())

    def stop(self) -> Timed:
        wall, cpu = self._started
        return Timed(
            ticks=(self._job.frames - self._job.warm_up) * self._job.tokens,
            seconds=time.perf_counter() - wall,
            cpu_s=time.process_time() - cpu,
        )


def run_stack(name: str, job: Job, core: int, pipe: Connection) -> None:
    """A process' entry: sends Timed."""
    pin(core)
    logger.remove()
    stacks: dict[str, Callable[[Job], Coroutine[Any, Any, Timed]]] = {"naive": naive, "ours": ours}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pipe.send(runner.run(stacks[name](job)))


async def naive(job: Job) -> Timed:
    parser = KiteTicker("key", "token")
    redis = Redis.from_url(job.redis_url)
    watch = Stopwatch(job)
    async with connect(job.load_url, compression=None, max_size=None, ping_interval=None) as socket:
        await socket.send("next")
        for number in range(1, job.frames + 1):
            message = await socket.recv()
            if job.mode == "closed" and number < job.frames:
                await socket.send("next")
            for tick in parser._parse_binary(message):  # noqa: SLF001 - what its on_message calls
                await redis.publish(f"ticker:ticks:{tick['instrument_token']}", json.dumps(tick, default=_json_time))
            watch.frame_done(number)
    timed = watch.stop()
    await redis.aclose()
    return timed


def _json_time(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class Sink:
    """What the socket calls: the feed's part in three lines."""

    def __init__(self, ticks: AccountTicks) -> None:
        self._ticks = ticks
        self.frames = 0
        self.arrived = asyncio.Event()

    def on_any_frame(self) -> None:
        """Nothing watches for silence here."""

    def on_binary(self, message: bytes) -> None:
        packets = cut_frame(message)
        if packets is not None:
            self._ticks.on_packets(packets, received_at_ms=time.time_ns() // 1_000_000)
        self.frames += 1
        self.arrived.set()

    def on_text(self, message: bytes) -> None:
        raise AssertionError(message)


async def ours(job: Job) -> Timed:
    publisher = TickPublisher(job.redis_url, keys=RedisKeys("ticker:"))
    names = {token_of(index): _instrument(index) for index in range(job.tokens * TURNS)}
    pipeline = TickPipeline(
        publisher, instruments=lambda: names, source="simulator", clock=SystemClock(), flush_ms=job.flush_ms
    )
    sink = Sink(pipeline.account("primary", decode=decode_packet))
    keeping = asyncio.create_task(publisher.run())
    while not publisher.ready:  # noqa: ASYNC110 - once, before anything is timed
        await asyncio.sleep(0.001)
    uri = parse_uri(job.load_url)
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: TickerSocket(uri, sink=sink, headers={}), uri.host, uri.port)
    await socket.wait_upgraded()
    timed = await (_closed if job.mode == "closed" else _paced)(job, pipeline, sink, socket)
    keeping.cancel()
    return timed


async def _closed(job: Job, pipeline: TickPipeline, sink: Sink, socket: TickerSocket) -> Timed:
    """The next frame is on its way while this one is flushed; nothing conflates, every tick is published."""
    watch = Stopwatch(job)
    socket.send_text(b"next")
    for number in range(1, job.frames + 1):
        await sink.arrived.wait()
        sink.arrived.clear()
        if number < job.frames:
            socket.send_text(b"next")
        await pipeline.flush()
        while not pipeline.publisher.ready:  # noqa: ASYNC110 - the next turn of the loop is what is waited for
            await asyncio.sleep(0)
        watch.frame_done(number)
    return watch.stop()


async def _paced(job: Job, pipeline: TickPipeline, sink: Sink, socket: TickerSocket) -> Timed:
    """The pipeline as the service runs it."""
    watch = Stopwatch(job)
    flushing = asyncio.create_task(pipeline.run())
    socket.send_text(b"next")
    seen = 0
    while sink.frames < job.frames:
        sink.arrived.clear()
        await sink.arrived.wait()
        for number in range(seen + 1, sink.frames + 1):
            watch.frame_done(number)
        seen = sink.frames
    timed = watch.stop()
    await asyncio.sleep(0.2)
    flushing.cancel()
    return timed


def _instrument(index: int) -> Instrument:
    return Instrument(
        instrument_token=token_of(index), exchange_token=1000 + index, tradingsymbol=f"SYM{index:05d}", name="",
        expiry=None, strike=Decimal(0), tick_size=Decimal("0.05"), lot_size=1, instrument_type="EQ", segment="NSE",
        exchange="NSE",
    )  # fmt: skip
