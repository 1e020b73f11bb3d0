"""The two stacks that the tick benchmark compares, each in a process of its own.

``naive`` is what users write first: the official client's parser, ``json.dumps``, one awaited publish for each tick.
``ours`` is the service's path: its socket, frame cutter, decoder, pipeline and publisher. It also stores last values,
which the naive one does not.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
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
from app.market.ticks.newest import NewestTicks
from app.market.ticks.pipeline import TickPipeline
from app.market.ticks.publisher import TickPublisher
from benchmarks.machine import pin
from benchmarks.tick_server import INSTRUMENT_SETS, token_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to receive: ``frames`` frames, of which the first ``warm_up`` are not timed.

    ``flush_ms`` is the service's setting ``TICK_FLUSH_MS``.
    """

    server_url: str
    redis_url: str
    frames: int
    warm_up: int
    tokens: int
    mode: str = "closed"
    flush_ms: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """``ticks`` in ``seconds``, and the CPU time of this process meanwhile."""

    ticks: int
    seconds: float
    cpu_s: float


class Timer:
    """Measures the frames after the warm-up."""

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
    """The entry of the measured process: runs a stack, sends ``Timed``."""
    pin(core)
    logger.remove()
    stacks: dict[str, Callable[[Job], Coroutine[Any, Any, Timed]]] = {"naive": naive, "ours": ours}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pipe.send(runner.run(stacks[name](job)))


async def naive(job: Job) -> Timed:
    """Receives and publishes as users write it first."""
    parser = KiteTicker("key", "token")
    redis = Redis.from_url(job.redis_url)
    timer = Timer(job)
    async with connect(job.server_url, compression=None, max_size=None, ping_interval=None) as socket:
        await socket.send("next")
        for number in range(1, job.frames + 1):
            message = await socket.recv()
            if job.mode == "closed" and number < job.frames:
                await socket.send("next")
            for tick in parser._parse_binary(message):  # noqa: SLF001 - what its on_message calls
                await redis.publish(f"ticker:ticks:{tick['instrument_token']}", json.dumps(tick, default=_json_time))
            timer.frame_done(number)
    timed = timer.stop()
    await redis.aclose()
    return timed


def _json_time(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class Sink:
    """What the socket calls: a minimal feed."""

    def __init__(self, ticks: AccountTicks) -> None:
        self._ticks = ticks
        self.frames = 0
        self.arrived = asyncio.Event()

    def on_any_frame(self) -> None:
        """The benchmark does not check for silence."""

    def on_binary(self, message: bytes) -> None:
        packets = cut_frame(message)
        if packets is not None:
            self._ticks.on_packets(packets, received_at_ms=time.time_ns() // 1_000_000)
        self.frames += 1
        self.arrived.set()

    def on_text(self, message: bytes) -> None:
        raise AssertionError(message)


class Names(dict[int, Instrument]):
    """The instruments of the load."""

    def by_token(self) -> Mapping[int, Instrument]:
        return self


async def ours(job: Job) -> Timed:
    """Receives and publishes with the service's parts."""
    publisher = TickPublisher(job.redis_url, keys=RedisKeys("ticker:"))
    names = Names({token_of(index): _instrument(index) for index in range(job.tokens * INSTRUMENT_SETS)})
    newest = NewestTicks({"primary": decode_packet}, instruments=names, source="simulator")
    pipeline = TickPipeline(newest, publisher=publisher, clock=SystemClock(), flush_ms=job.flush_ms)
    sink = Sink(newest.accounts["primary"])
    keeping = asyncio.create_task(publisher.run())
    while not publisher.ready:  # noqa: ASYNC110 - once, before anything is timed
        await asyncio.sleep(0.001)
    uri = parse_uri(job.server_url)
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: TickerSocket(uri, sink=sink, headers={}), uri.host, uri.port)
    await socket.wait_upgraded()
    timed = await (_closed if job.mode == "closed" else _paced)(job, pipeline, sink, socket)
    keeping.cancel()
    return timed


async def _closed(job: Job, pipeline: TickPipeline, sink: Sink, socket: TickerSocket) -> Timed:
    """Requests the next frame while one is flushed. Nothing conflates: every tick is published."""
    timer = Timer(job)
    socket.send_text(b"next")
    for number in range(1, job.frames + 1):
        await sink.arrived.wait()
        sink.arrived.clear()
        if number < job.frames:
            socket.send_text(b"next")
        await pipeline.flush()
        while not pipeline.publisher.ready:  # noqa: ASYNC110 - ready within an iteration of the loop
            await asyncio.sleep(0)
        timer.frame_done(number)
    return timer.stop()


async def _paced(job: Job, pipeline: TickPipeline, sink: Sink, socket: TickerSocket) -> Timed:
    """Runs the pipeline as the service does."""
    timer = Timer(job)
    flushing = asyncio.create_task(pipeline.run())
    socket.send_text(b"next")
    seen = 0
    while sink.frames < job.frames:
        sink.arrived.clear()
        await sink.arrived.wait()
        for number in range(seen + 1, sink.frames + 1):
            timer.frame_done(number)
        seen = sink.frames
    timed = timer.stop()
    await asyncio.sleep(0.2)
    flushing.cancel()
    return timed


def _instrument(index: int) -> Instrument:
    return Instrument(
        instrument_token=token_of(index), exchange_token=1000 + index, tradingsymbol=f"SYM{index:05d}", name="",
        expiry=None, strike=Decimal(0), tick_size=Decimal("0.05"), lot_size=1, instrument_type="EQ", segment="NSE",
        exchange="NSE",
    )  # fmt: skip
