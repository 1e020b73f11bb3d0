"""Orders: from the POST at the service to the first byte at the broker's socket. Method: ``benchmarks/README.md``."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import percentile, ratios, spread
from benchmarks.order_environment import KEY, OTHERS_CORE, SERVICE_CORE, OrderEnvironment, open_environment

SINGLES, BATCH, SECOND = 20, 20, 10
SPACING_S = 0.13
"""Between single orders: a little more than the service's own spacing, so that none of them waits."""

EMISSION_MS = 112.0
"""The service's spacing between two orders of an account; a leg's own time is what exceeds it."""

ACCOUNTS = 100
SETTLE_S, ACCEPT_S, IDLE_S, CLIENTS = 8.0, 4.0, 3.0, 24
ORDER = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "MIS",
         "order_type": "LIMIT", "price": 1400}  # fmt: skip


def run(rounds: int) -> None:
    """Prints latencies beside those of the official client, of a batch, and the rate of acceptance."""
    with tempfile.TemporaryDirectory() as directory, open_environment(Path(directory), accounts=1) as environment:
        _warm_up(environment)
        _latency(environment, rounds=rounds)
    with (
        tempfile.TemporaryDirectory() as directory,
        open_environment(Path(directory), accounts=ACCOUNTS) as environment,
    ):
        _acceptance(environment, rounds=rounds)


def _warm_up(environment: OrderEnvironment) -> None:
    for _ in range(5):
        _place(environment)
        _place_official(environment)
        time.sleep(SPACING_S)
    environment.arrivals(10)


def _latency(environment: OrderEnvironment, *, rounds: int) -> None:
    single: dict[str, list[list[float]]] = {"official": [], "ours": []}
    legs: list[list[float]] = []
    last: dict[str, list[float]] = {"official": [], "ours": []}
    tenth: list[float] = []
    for _ in range(rounds):
        single["official"].append(_singles(environment, _place_official))
        single["ours"].append(_singles(environment, _place))
        last["official"].append(_one_after_another(environment)[-1])
        came = _batch(environment, BATCH)
        last["ours"].append(came[-1])
        legs.append([ms - number * EMISSION_MS for number, ms in enumerate(came)])
        tenth.append(_batch(environment, SECOND)[-1])
    print("one order: from the call to its first byte at the broker")
    for name, all_rounds in single.items():
        p50, p99 = ([percentile(sorted(one), share) for one in all_rounds] for share in (0.5, 0.99))
        print(f"  {name:9} p50 {spread(p50, unit=' ms', digits=1)}, p99 {spread(p99, unit=' ms', digits=1)}")
    per_round = ratios(*([percentile(sorted(one), 0.5) for one in single[name]] for name in ("ours", "official")))
    print(f"  ratio of p50 {spread(per_round, digits=1)}: durable before it is sent, not sent from memory")
    every = sorted(ms for one in legs for ms in one)
    print(
        f"batch of {BATCH}: what a leg takes beyond the {EMISSION_MS:g} ms that the broker's limit puts between orders"
    )
    print(f"  ours      p50 {percentile(every, 0.5):.1f} ms, p99 {percentile(every, 0.99):.1f} ms")
    print(f"  last leg  ours {spread(last['ours'], unit=' ms')}; official, one after another without a limit,"
          f" {spread(last['official'], unit=' ms')}")  # fmt: skip
    print(f"batch of {SECOND}, the tenth at the broker: {spread(tenth, unit=' ms')}")


def _singles(environment: OrderEnvironment, place: Any) -> list[float]:
    began = []
    for _ in range(SINGLES):
        began.append(time.monotonic_ns())
        place(environment)
        time.sleep(SPACING_S)
    came = environment.arrivals(SINGLES)
    return [(there - here) / 1e6 for here, there in zip(began, came, strict=True)]


def _place(environment: OrderEnvironment) -> None:
    answer = environment.service.post("/orders", json=ORDER)
    if answer.status_code != 201 or answer.json()["status"] != "completed":
        raise SystemExit(f"an order was not placed: {answer.text}")


def _place_official(environment: OrderEnvironment) -> None:
    environment.official.place_order(variety="regular", **ORDER)


def _one_after_another(environment: OrderEnvironment) -> list[float]:
    began = time.monotonic_ns()
    for _ in range(BATCH):
        _place_official(environment)
    return [(there - began) / 1e6 for there in environment.arrivals(BATCH)]


def _batch(environment: OrderEnvironment, size: int) -> list[float]:
    """Milliseconds from the POST to each arrival, in order. Raises SystemExit unless the batch is completed."""
    time.sleep(1.2)  # the rate limits of earlier orders are over
    began = time.monotonic_ns()
    answer = environment.service.post("/advanced/batch-orders", json={"orders": [ORDER] * size}).json()
    if answer["status"] != "completed":
        raise SystemExit(f"the batch is {answer['status']}: {answer['error']}")
    return [(there - began) / 1e6 for there in environment.arrivals(size)]


def _acceptance(environment: OrderEnvironment, *, rounds: int) -> None:
    time.sleep(SETTLE_S)  # a hundred accounts have connected and read their books
    idle = Busy.measured(environment.service_pid)
    time.sleep(IDLE_S)
    idle_share = idle.share()
    rates, shares, sent = [], [], []
    for _ in range(rounds):
        ledger = _ledger_length(environment)
        busy = Busy.measured(environment.service_pid)
        accepted, seconds = asyncio.run(_accept(str(environment.service.base_url)))
        shares.append(busy.share())
        rates.append(accepted / seconds)
        sent.append((_ledger_length(environment) - ledger) / seconds)
        time.sleep(3.0)
    print(f"accepted over {ACCOUNTS} accounts, {CLIENTS} clients, not waiting for the result:")
    print(f"  {spread(rates)} orders/s; at the broker meanwhile {spread(sent)}/s")
    for number, name in enumerate(("the service", "its core", "the other core (servers, simulator, clients)")):
        busy_now = spread([100 * share[number] for share in shares], unit=" %")
        print(f"  busy: {name} {busy_now}; with {ACCOUNTS} idle accounts {100 * idle_share[number]:.0f} %")


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """CPU seconds at the moment ``at``: of the service, of its core, of the other core."""

    pid: int
    at: float
    seconds: tuple[float, float, float]

    @classmethod
    def measured(cls, pid: int) -> Busy:
        cores = [_core_s(number) for number in (SERVICE_CORE, OTHERS_CORE)]
        return cls(pid=pid, at=time.monotonic(), seconds=(_cpu_s(pid), cores[0], cores[1]))

    def share(self) -> list[float]:
        """The share of the time since then in which each was busy, 0 to 1."""
        now = Busy.measured(self.pid)
        return [(b - a) / (now.at - self.at) for a, b in zip(self.seconds, now.seconds, strict=True)]


def _core_s(number: int) -> float:
    lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    fields = next(line for line in lines if line.startswith(f"cpu{number} ")).split()[1:]
    user, nice, system = (int(field) for field in fields[:3])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


async def _accept(url: str) -> tuple[int, float]:
    ends = time.monotonic() + ACCEPT_S
    accepted = 0

    async def client(http: httpx.AsyncClient, number: int) -> None:
        nonlocal accepted
        order_number = number
        while time.monotonic() < ends:
            order_number += CLIENTS
            body = ORDER | {"account_id": f"a{order_number % ACCOUNTS + 1}"}
            answer = await http.post("/orders", params={"wait": 0}, json=body)
            accepted += answer.is_success

    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": KEY}, trust_env=False, timeout=30) as http:
        began = time.monotonic()
        await asyncio.gather(*(client(http, number) for number in range(CLIENTS)))
        return accepted, time.monotonic() - began


def _ledger_length(environment: OrderEnvironment) -> int:
    return int(httpx.get(f"{environment.simulator_url}/_sim/stats", trust_env=False).json()["ledger_entries"])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
