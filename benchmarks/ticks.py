"""Ticks end to end: from the broker's frame to a JSON tick at a Redis subscriber. Method: ``benchmarks/README.md``."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import Redis

from benchmarks.figures import percentile, ratios, spread
from benchmarks.processes import process, receive
from benchmarks.tick_server import PRICE, serve_frames, token_of
from benchmarks.tick_stacks import Job, Timed, run_stack
from benchmarks.tick_subscriber import Seen, read_ticks
from embedded.redis import running_redis

TOKENS = 3000
FRAMES = {"naive": (3, 1), "ours": (60, 10)}
"""Frames and how many of them are warm-up, for each stack: what it handles in a second or two."""

MEASURED_CORE, OTHERS_CORE = 0, 1
PACES = ((50, 20_000, 250, ("naive", "ours")), (100, 5_000, 1000, ("ours",)))
"""Ticks in a frame, microseconds between frames, number of frames, which stacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run: the times of the stack, what the subscriber saw, and Redis' CPU time."""

    timed: Timed
    seen: Seen
    redis_cpu_s: float

    @property
    def rate(self) -> float:
        return self.timed.ticks / self.timed.seconds


class TickBenchmark:
    """What all rounds use: Redis, and the address of the tick server."""

    def __init__(self, *, redis_url: str, server_port: int) -> None:
        self._redis_url = redis_url
        self._server_url = f"ws://127.0.0.1:{server_port}/"
        self._redis = Redis.from_url(redis_url)
        address = urlsplit(redis_url)
        self._address = (address.hostname or "127.0.0.1", address.port or 6379, unquote(address.password or ""))

    def measure(self, stack: str, *, query: str, frames: int, warm_up: int, tokens: int) -> Result:
        """One run of one stack with a subscriber of its own. Raises SystemExit when ticks are missing or wrong."""
        timed = "paced" in query
        job = Job(
            server_url=f"{self._server_url}?{query}&frames={frames}", redis_url=self._redis_url, frames=frames,
            warm_up=warm_up, tokens=tokens, mode="paced" if timed else "closed",
        )  # fmt: skip
        self._redis.flushdb()
        with process(read_ticks, OTHERS_CORE, *self._address, frames * tokens, timed) as reader:
            receive(reader)
            before = self._redis_cpu_s()
            with process(run_stack, stack, job, MEASURED_CORE) as measured:
                result = receive(measured)
            seen = receive(reader)
        used = self._redis_cpu_s() - before
        _check(seen, at_least=frames * tokens // 2 if timed else frames * tokens)
        return Result(timed=result, seen=seen, redis_cpu_s=used)

    def _redis_cpu_s(self) -> float:
        info: dict[str, Any] = self._redis.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def run(rounds: int) -> None:
    """Prints throughput and latency of both stacks."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running_redis(Path(directory)) as redis,
        process(serve_frames, OTHERS_CORE) as tick_server,
    ):
        benchmark = TickBenchmark(redis_url=redis.url, server_port=receive(tick_server))
        _throughput(benchmark, rounds=rounds)
        for batch, every_us, frames, stacks in PACES:
            _latency(benchmark, rounds=rounds, batch=batch, every_us=every_us, frames=frames, stacks=stacks)
        tick_server.send("stop")


def _throughput(benchmark: TickBenchmark, *, rounds: int) -> None:
    results: dict[str, list[Result]] = {"naive": [], "ours": []}
    for _ in range(rounds):
        for stack, runs in results.items():
            frames, warm_up = FRAMES[stack]
            query = f"mode=closed&tokens={TOKENS}"
            runs.append(benchmark.measure(stack, query=query, frames=frames, warm_up=warm_up, tokens=TOKENS))
    print(f"throughput: frames of {TOKENS} full packets, each published before the next, 1 subscriber")
    for stack, runs in results.items():
        busy = median(run.timed.cpu_s / run.timed.seconds for run in runs)
        size = len(str(runs[0].seen.sample))
        print(f"  {stack:6} {spread([run.rate for run in runs])} ticks/s; its core {busy:.0%} busy; ~{size} B a tick")
    rates = {stack: [run.rate for run in runs] for stack, runs in results.items()}
    per_round = ratios(rates["ours"], rates["naive"])
    print(f"  ratio  {spread(per_round, digits=1)}; rounds {', '.join(f'{ratio:.1f}' for ratio in per_round)}")
    per_cpu = {stack: [run.timed.ticks / run.timed.cpu_s for run in runs] for stack, runs in results.items()}
    per_cpu_round = ratios(per_cpu["ours"], per_cpu["naive"])
    print(f"  ratio of ticks per CPU second of the measured process {spread(per_cpu_round, digits=1)}")
    last = results["ours"][-1]
    ticks = last.seen.messages
    print(f"  per tick, last round of ours: redis {last.redis_cpu_s / ticks * 1e6:.1f} us,"
          f" subscriber {last.seen.cpu_s / ticks * 1e6:.1f} us, ours {1e6 / last.rate:.1f} us")  # fmt: skip


def _latency(
    benchmark: TickBenchmark, *, rounds: int, batch: int, every_us: int, frames: int, stacks: tuple[str, ...]
) -> None:
    seen: dict[str, list[tuple[float, float]]] = {stack: [] for stack in stacks}
    arrived: dict[str, list[float]] = {stack: [] for stack in stacks}
    for _ in range(rounds):
        for stack, quantiles in seen.items():
            query = f"mode=paced&batch={batch}&every_us={every_us}"
            result = benchmark.measure(stack, query=query, frames=frames, warm_up=1, tokens=batch)
            ordered = sorted(result.seen.latencies_ms[10 * batch :])
            arrived[stack].append(result.seen.messages / (frames * batch))
            quantiles.append((percentile(ordered, 0.5), percentile(ordered, 0.99)))
    print(
        f"latency: {batch} ticks each {every_us / 1000:g} ms ({batch * 1_000_000 // every_us:,}/s), to the subscriber"
    )
    for stack, quantiles in seen.items():
        p50, p99 = ([pair[at] for pair in quantiles] for at in (0, 1))
        print(
            f"  {stack:6} p50 {spread(p50, unit=' ms', digits=2)}, p99 {spread(p99, unit=' ms', digits=2)};"
            f" {median(arrived[stack]):.1%} of the ticks arrived, the rest was replaced by newer ones"
        )
    if len(stacks) == 2:
        for at, name in enumerate(("p50", "p99")):
            per_round = ratios([pair[at] for pair in seen["naive"]], [pair[at] for pair in seen["ours"]])
            print(f"  {name} ratio {spread(per_round, digits=1)}")


def _check(seen: Seen, *, at_least: int) -> None:
    """Raises SystemExit unless enough ticks arrived, and the sample has the right channel and price."""
    if seen.messages < at_least:
        raise SystemExit(f"{seen.messages} ticks arrived where {at_least} were expected")
    token = int(seen.sample["instrument_token"])
    price = (PRICE + (token >> 8) - 1000) / 100
    if seen.channel != f"ticker:ticks:{token}" or seen.sample["last_price"] != price or token < token_of(0):
        raise SystemExit(f"a wrong tick arrived on {seen.channel}: {seen.sample}")
