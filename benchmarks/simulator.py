"""The broker simulator: full ticks per second to one client, and REST latency with and without ticks.

Method: ``benchmarks/README.md``.
"""

from __future__ import annotations

import asyncio
import csv
import http.client
import io
import json
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from statistics import median

import uvloop

from benchmarks.figures import percentile, ratios, spread
from benchmarks.machine import pin
from benchmarks.processes import process, receive
from benchmarks.simulator_clients import Counted, ask_rest, count_ticks
from simulator.server import running_simulator
from simulator.settings import RateLimits, SimulatorSettings

TOKENS = 3_000
"""The most that one socket may subscribe to."""
REQUESTED_RATE = 400_000
LATENCY_RATE = 20_000
WARM_UP_S = 1.0
RATE_S = 3.0
REQUESTS = 60
SIMULATOR_CORE, CLIENT_CORE = 0, 1


def serve(core: int, pipe: Connection) -> None:
    """A simulator as ``python -m simulator`` runs it, without request limits; answers ``cpu`` with its CPU seconds."""
    pin(core)
    uvloop.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    settings = SimulatorSettings(port=0, ticks_per_second=0, rate_limits=RateLimits(enforced="off"))
    async with running_simulator(settings) as running:
        pipe.send(running.port)
        while await asyncio.to_thread(pipe.recv) != "stop":
            pipe.send(time.process_time())


class MeasuredSimulator:
    """The simulator's process, and the requests between runs."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.port = int(receive(pipe))
        self.tokens, self.keys = self._listed()

    def set_rate(self, ticks_per_second: int) -> None:
        self._ask("POST", "/_sim/reset")
        self._ask("POST", "/_sim/market", json.dumps({"ticks_per_second": ticks_per_second}))

    def cpu_s(self) -> float:
        self._pipe.send("cpu")
        return float(receive(self._pipe))

    def _listed(self) -> tuple[list[int], list[str]]:
        """Tokens and names of shares and derivatives, shares first: their full packets have 184 bytes."""
        rows = list(csv.DictReader(io.StringIO(self._ask("GET", "/instruments").decode())))
        tradable = sorted((row for row in rows if row["segment"] != "INDICES"), key=lambda row: row["segment"] != "NSE")
        keys = [f"{row['exchange']}:{row['tradingsymbol']}" for row in tradable]
        return [int(row["instrument_token"]) for row in tradable[:TOKENS]], keys

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: HTTP {answer.status} {content[:200]!r}")
        return content


def run(rounds: int) -> None:
    """Prints the tick rate and the latencies."""
    with process(serve, SIMULATOR_CORE) as pipe:
        simulator = MeasuredSimulator(pipe)
        rates: list[Counted] = []
        busy: list[float] = []
        quiet: list[Mapping[str, list[float]]] = []
        loaded: list[Mapping[str, list[float]]] = []
        for _ in range(rounds):
            simulator.set_rate(REQUESTED_RATE)
            before = simulator.cpu_s()
            rates.append(_count(simulator, seconds=RATE_S))
            busy.append((simulator.cpu_s() - before) / (RATE_S + WARM_UP_S))
            simulator.set_rate(0)
            quiet.append(_latencies(simulator))
            loaded.append(_latencies_with_ticks(simulator))
        pipe.send("stop")
    _print_rates(rates, busy)
    _print_latencies(quiet, loaded)


def _count(simulator: MeasuredSimulator, *, seconds: float) -> Counted:
    with process(count_ticks, CLIENT_CORE, simulator.port, simulator.tokens, WARM_UP_S, seconds) as client:
        counted: Counted = receive(client)
    if counted.wrong or counted.prices < 2:
        raise SystemExit(f"the frames are not what they should be: {counted}")
    return counted


def _latencies(simulator: MeasuredSimulator) -> Mapping[str, list[float]]:
    with process(ask_rest, CLIENT_CORE, simulator.port, simulator.keys, REQUESTS) as client:
        taken: Mapping[str, list[float]] = receive(client)
    return taken


def _latencies_with_ticks(simulator: MeasuredSimulator) -> Mapping[str, list[float]]:
    """Raises SystemExit when fewer than nine tenths of the requested ticks came meanwhile."""
    simulator.set_rate(LATENCY_RATE)
    seconds = REQUESTS * 0.08
    with process(count_ticks, CLIENT_CORE, simulator.port, simulator.tokens, WARM_UP_S, seconds) as client:
        time.sleep(WARM_UP_S)
        taken = _latencies(simulator)
        counted: Counted = receive(client)
    if counted.ticks / counted.seconds < LATENCY_RATE * 0.9:
        raise SystemExit(f"only {counted.ticks / counted.seconds:,.0f} ticks/s came, {LATENCY_RATE:,} were requested")
    return taken


def _print_rates(rates: list[Counted], busy: list[float]) -> None:
    figures = [counted.ticks / counted.seconds for counted in rates]
    per_frame = median(counted.ticks / counted.frames for counted in rates)
    client = median(counted.cpu_s / counted.seconds for counted in rates)
    print(f"ticks: {TOKENS:,} instruments, full packets (184 B), one socket, {REQUESTED_RATE:,}/s requested")
    print(f"  {spread(figures)} ticks/s, {per_frame:,.0f} a frame; rounds {', '.join(f'{f:,.0f}' for f in figures)}")
    print(f"  limited by: simulator's core {median(busy):.0%} busy, client's {client:.0%}")


def _print_latencies(quiet: list[Mapping[str, list[float]]], loaded: list[Mapping[str, list[float]]]) -> None:
    print(f"REST: one request at a time; without ticks, and with {LATENCY_RATE:,} full ticks/s to a socket")
    for name in quiet[0]:
        columns = []
        p99s = []
        for rounds in (quiet, loaded):
            ordered = [sorted(taken[name]) for taken in rounds]
            p50 = [percentile(each, 0.5) for each in ordered]
            p99 = [percentile(each, 0.99) for each in ordered]
            p99s.append(p99)
            columns.append(f"p50 {spread(p50, unit=' ms', digits=2)}, p99 {spread(p99, unit=' ms', digits=2)}")
        print(
            f"  {name:12} {columns[0]}; with ticks {columns[1]}; p99 ratio {spread(ratios(p99s[1], p99s[0]), digits=1)}"
        )
    together = [sorted(value for values in taken.values() for value in values) for taken in loaded]
    print(f"  all with ticks: p99 {spread([percentile(each, 0.99) for each in together], unit=' ms', digits=2)}")
