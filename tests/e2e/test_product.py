"""`make run` as a newcomer uses it: the printed commands pasted into a shell, every route, Ctrl-C, a second start."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from embedded.ports import find_free_port
from tests.e2e.environment import ROOT, clean_environment, wait_for

START_S = 60.0
STOP_S = 10.0
TICK_FIELDS = {
    "v", "instrument_token", "exchange", "tradingsymbol", "mode", "tradable", "last_price", "last_traded_quantity",
    "average_traded_price", "volume_traded", "total_buy_quantity", "total_sell_quantity", "ohlc", "change",
    "last_trade_time", "oi", "oi_day_high", "oi_day_low", "exchange_timestamp", "depth",
    "account_id", "seq", "received_at", "source",
}  # fmt: skip
ADDED_FIELDS = {"v", "exchange", "tradingsymbol", "account_id", "seq", "received_at", "source"}


@dataclass
class Launched:
    """`python -m embedded`, which `make run` calls, on one data directory."""

    directory: Path
    port: int = field(default_factory=find_free_port)
    sim_port: int = field(default_factory=find_free_port)
    banner: str = ""
    process: "subprocess.Popen[str] | None" = None

    @property
    def env(self) -> dict[str, str]:
        ports = {"PORT": str(self.port), "SIM_PORT": str(self.sim_port)}
        return clean_environment() | ports | {"DATA_DIR": str(self.directory)}

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "embedded"],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line.lstrip().startswith("-d '{"):
                break
        self.banner = "".join(lines)
        assert "ticker-service is running" in self.banner

    def stop(self) -> tuple[int, float]:
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=STOP_S + 5)
        return self.process.returncode, time.monotonic() - begun

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "run.json").read_text())
        return found

    def client(self) -> httpx.Client:
        headers = {"X-API-Key": self.run["api_key"]}
        return httpx.Client(base_url=self.run["url"], headers=headers, timeout=40, trust_env=False)

    def printed_command(self, number: int) -> str:
        """The command behind ``number. what it does``, as it would be copied."""
        found = re.search(rf"^  {number}\. .*\n((?:  .+\n)+)", self.banner, re.MULTILINE)
        assert found is not None, self.banner
        return found[1]

    def paste(self, command: str) -> "subprocess.Popen[str]":
        """Into another terminal in the same directory."""
        env = clean_environment()
        return subprocess.Popen(  # noqa: S603 - the product's own commands
            ["/bin/sh", "-c", command], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        )


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    launched = Launched(tmp_path_factory.mktemp("product") / "data")
    launched.start()
    yield launched
    if launched.process is not None and launched.process.poll() is None:
        launched.process.kill()  # its children end with it
        launched.process.communicate(timeout=STOP_S)


@pytest.fixture(scope="module")
def batch(product: Launched) -> dict[str, Any]:
    """The printed batch order, pasted once; what came of it, with the events that the printed watcher saw."""
    watcher = product.paste("exec " + product.printed_command(3).strip().replace("DATA_DIR", "env DATA_DIR", 1))
    assert watcher.stdout is not None
    try:
        opening = [json.loads(watcher.stdout.readline()) for _ in range(2)]
        shell = product.paste(product.printed_command(4).rstrip() + " -w '\\n%{http_code}'")
        body, _, status = shell.communicate(timeout=40)[0].rpartition("\n")
        events: list[dict[str, Any]] = []
        while not events or events[-1].get("event") != "batch_completed":
            message = json.loads(watcher.stdout.readline())
            if message["type"] == "order_update":
                events.append(message)
    finally:
        watcher.kill()
        watcher.communicate(timeout=STOP_S)
    return {"status": int(status), "body": json.loads(body), "opening": opening, "events": events}


def test_the_printed_operators_command_finds_the_running_servers(product: Launched) -> None:
    """The service's own commands with the addresses that were made; without anything running, one line."""
    line = next(line for line in product.banner.splitlines() if "embedded.app" in line)
    command = line.split("Operators", 1)[1].split("(--help")[0]
    assert product.paste(command).communicate(timeout=40)[0].splitlines()[0] == "nothing is in doubt"
    elsewhere = product.paste(f"DATA_DIR=/nonexistent {command.split('DATA_DIR=')[-1].split(' ', 1)[-1]} 2>&1")
    assert elsewhere.communicate(timeout=40)[0].startswith("nothing is running: ")
    assert elsewhere.returncode == 1


def test_the_printed_health_command_says_ok(product: Launched) -> None:
    """Within twenty seconds of the start everything that the product stands on is proven."""
    health = json.loads(product.paste(product.printed_command(1)).communicate(timeout=20)[0])
    assert health["status"] == "ok"
    assert health["dependencies"]["redis"] == health["dependencies"]["database"] == "ok"
    assert health["dependencies"]["instrument_registry"]["cached_instruments"] > 3_000
    assert health["dependencies"]["instrument_registry"]["last_refresh"].endswith("+05:30")
    account = health["ticker"]["accounts"][0]
    assert (account["account_id"], account["role"], account["connected"]) == ("primary", "leader", True)
    assert account["subscriptions"] >= 12
    assert account["last_tick_age_ms"] < 5_000


def test_the_printed_channel_and_command_show_ticks(product: Launched) -> None:
    """SUBSCRIBE on the printed Redis and the printed watcher both show what arrives, and from where."""
    address = re.search(r"Redis +(redis:\S+)", product.banner)
    channel = re.search(r"SUBSCRIBE (\S+)", product.banner)
    assert address is not None
    assert channel is not None
    with redis.Redis.from_url(address[1]) as client, client.pubsub(ignore_subscribe_messages=True) as channels:
        channels.subscribe(channel[1])
        message = wait_for("a tick", lambda: channels.get_message(timeout=1.0), within_s=15)
    assert json.loads(message["data"])["source"] == "simulator"
    watcher = product.paste(product.printed_command(2).strip() + " | head -n 3")
    shown = watcher.communicate(timeout=20)[0].splitlines()
    assert len(shown) == 3
    assert all(line.endswith("simulator") for line in shown)


def test_a_tick_has_what_its_mode_has_and_nothing_else(product: Launched) -> None:
    """Full: every field with depth of five; ltp: only the price; an index has no volume, no depth, no zeroes."""
    with product.client() as client, redis.Redis.from_url(product.run["redis_url"]) as server:
        made = client.post(
            "/subscriptions", json={"exchange": "NSE", "tradingsymbol": "WIPRO", "requested_mode": "ltp"}
        )
        assert made.status_code == 201
        full_of = {row["tradingsymbol"]: row["instrument_token"] for row in subscriptions(client)}
        ltp = wait_for("a tick in ltp mode", lambda: last_tick(server, full_of["WIPRO"]), within_s=15)
        full = wait_for("a tick in full mode", lambda: last_tick(server, full_of["INFY"]), within_s=15)
        index = wait_for("a tick of an index", lambda: last_tick(server, full_of["NIFTY 50"]), within_s=15)
    assert set(ltp) - ADDED_FIELDS == {"instrument_token", "mode", "tradable", "last_price"}
    assert (ltp["v"], ltp["mode"], ltp["account_id"], ltp["source"]) == (1, "ltp", "primary", "simulator")
    assert set(full) >= TICK_FIELDS - {"oi", "oi_day_high", "oi_day_low"}
    assert set(full) <= TICK_FIELDS
    assert full["depth"].keys() == {"buy", "sell"}
    assert [len(full["depth"][side]) for side in ("buy", "sell")] == [5, 5]
    assert full["depth"]["buy"][0].keys() == {"quantity", "price", "orders"}
    assert abs(time.time() - full["exchange_timestamp"]) < 30
    assert abs(time.time() * 1000 - full["received_at"]) < 30_000
    assert set(index) - ADDED_FIELDS == {
        "instrument_token", "mode", "tradable", "last_price", "ohlc", "change", "exchange_timestamp",
    }  # fmt: skip
    assert index["tradable"] is False


def test_the_printed_batch_order_is_placed_and_its_events_arrive(product: Launched, batch: dict[str, Any]) -> None:
    """201 `completed`; each event on the order stream one above the one before, the batch's own the last."""
    body = batch["body"]
    assert (batch["status"], body["status"], body["success"]) == (201, "completed", True)
    assert (body["total_orders"], body["succeeded"], body["failed"], body["rolled_back"]) == (2, 2, 0, 0)
    authenticated, snapshot = batch["opening"]
    assert (authenticated["type"], snapshot["type"]) == ("authenticated", "snapshot")
    first = snapshot["seq"] + 1
    assert [event["seq"] for event in batch["events"]] == list(range(first, first + len(batch["events"])))
    placed = {event["data"]["order_id"] for event in batch["events"] if event["event"] == "order_placed"}
    assert placed == {leg["order_id"] for leg in body["orders"]}
    ledger = httpx.get(f"{product.run['simulator_url']}/_sim/ledger", trust_env=False).json()
    assert {row["order_id"] for row in ledger} == placed
    assert len({row["tag"] for row in ledger}) == len(ledger) == 2


def test_every_route_about_orders_shows_the_order(product: Launched, batch: dict[str, Any]) -> None:
    """Orders, tasks, trades, the batch, the events and positions agree about the same two orders."""
    ids = {leg["order_id"] for leg in batch["body"]["orders"]}
    with product.client() as client:
        wait_for("both orders filled", lambda: states(client) == dict.fromkeys(ids, "completed"))
        orders = client.get("/orders", params={"account_id": "primary"}).json()["data"]
        assert {row["order_id"] for row in orders} == ids
        assert {row["status"] for row in orders} == {"COMPLETE"}
        assert all(row["batch_id"] == batch["body"]["batch_id"] for row in orders)
        tasks = client.get("/orders/tasks").json()["data"]
        assert {(row["order_id"], row["status"], row["sent"]) for row in tasks} == {
            (order_id, "completed", "yes") for order_id in ids
        }
        one = client.get(f"/orders/tasks/{tasks[0]['task_id']}").json()
        assert one == tasks[0]
        again = client.get(f"/advanced/batch-orders/{batch['body']['batch_id']}").json()
        assert again["status"] == "completed"
        assert client.get("/advanced/batch-orders").json()["data"] == [again]
        trades = wait_for("trades", lambda: client.get("/trades").json()["data"])
        assert {row["order_id"] for row in trades} == ids
        history = client.get(f"/orders/{orders[0]['order_id']}/history").json()["data"]
        assert history[-1]["status"] == "COMPLETE"
        events = client.get("/events", params={"account_id": "primary"}).json()["data"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        first = batch["events"][0]["seq"]
        assert events[first - 1 : first - 1 + len(batch["events"])] == batch["events"]
        positions = client.get("/portfolio/positions", params={"account_id": "primary"}).json()
        assert {row["tradingsymbol"]: row["quantity"] for row in positions["net"]} == {"INFY": 1, "SBIN": 1}


def test_market_data_answers(product: Launched) -> None:
    """Quotes by name, history over a range longer than one request at the broker, search, subscription status."""
    with product.client() as client:
        quotes = client.get("/quotes", params={"i": ["NSE:INFY", "NFO:NOSUCH"]}).json()["data"]
        assert quotes["NSE:INFY"]["stale"] is False
        assert quotes["NSE:INFY"]["age_ms"] < 10_000
        found = client.get("/instruments", params={"query": "INFY", "exchange": "NSE"}).json()["data"]
        infy = next(row for row in found if row["tradingsymbol"] == "INFY")
        token = infy["instrument_token"]
        assert client.get(f"/instruments/{token}").json()["tradingsymbol"] == "INFY"
        status = {row["instrument_token"]: row for row in client.get("/subscriptions/status").json()["data"]}
        assert status[token]["status"] == "ticking"
        answer = client.get(
            "/history",
            params={"instrument_token": token, "from": "2026-01-05", "to": "2026-04-30", "interval": "60minute"},
        )
        assert answer.status_code == 200
        times = [candle["time"] for candle in answer.json()["candles"]]
        assert times == sorted(set(times))
        assert times[0].startswith("2026-01-0")
        assert times[0].endswith("+05:30")
        assert answer.json()["candles"][0].keys() >= {"time", "open", "high", "low", "close", "volume"}


@pytest.mark.parametrize(
    "path",
    [
        "/accounts", "/accounts/primary", "/accounts/primary/login-url", "/instruments?query=NIFTY",
        "/subscriptions", "/subscriptions?status=active", "/orders", "/trades", "/portfolio/holdings",
        "/portfolio/positions", "/portfolio/margins", "/events?account_id=primary", "/advanced/ws/stats",
        "/health", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json",
    ],
)  # fmt: skip
def test_every_route_that_reads_answers(product: Launched, path: str) -> None:
    """200, with the request id that was sent, and no secret in it."""
    with product.client() as client:
        answer = client.get(path, headers={"X-Request-Id": "e2e-1"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-request-id"] == "e2e-1"
    assert "simsecret" not in answer.text
    assert "simtoken" not in answer.text or path == "/openapi.json"  # there it is the example of a login by token


def test_metrics_count_ticks_and_connections(product: Launched, batch: dict[str, Any]) -> None:
    """Every promised family is there; what has flowed is counted."""
    text = httpx.get(f"{product.run['url']}/metrics", trust_env=False).text
    for name in PROMISED_METRICS:
        assert re.search(rf"^# TYPE {name}(_total)? ", text, re.MULTILINE), f"{name} is missing"
    assert re.search(r'^ticker_ticks_received_total\{account="primary"\} [1-9]', text, re.MULTILINE)
    assert re.search(r"^ticker_ticks_published_total [1-9]", text, re.MULTILINE)
    assert re.search(r'^ticker_feed_connected\{account="primary"\} 1', text, re.MULTILINE)


PROMISED_METRICS = (
    "http_requests", "http_request_duration_seconds", "ticker_ticks_received", "ticker_ticks_published",
    "ticker_ticks_conflated", "ticker_feed_lag_seconds", "ticker_publish_lag_seconds", "ticker_active_subscriptions",
    "ticker_feed_connected", "ticker_feed_reconnects", "ticker_orders_in_doubt",
    "ticker_orders_in_doubt_oldest_seconds", "ticker_ws_connections", "ticker_ws_dropped", "ticker_rate_limit_hits",
    "ticker_broker_requests", "ticker_service_db_connection_errors", "ticker_event_loop_lag_seconds",
)  # fmt: skip


def test_ctrl_c_leaves_nothing_and_the_next_start_has_everything(product: Launched, batch: dict[str, Any]) -> None:
    """Stopped within ten seconds, no process left; orders, tasks, batches, events and subscriptions are there again."""
    with product.client() as client:
        before = kept(client)
    pids = [product.run["pid"], *server_pids(product.directory)]
    assert len(pids) == 3
    code, seconds = product.stop()
    assert code == 0
    assert seconds < STOP_S
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not (product.directory / "run.json").exists()

    product.start()
    with product.client() as client:
        assert client.get("/health").json()["status"] == "ok"
        assert kept(client) == before


def kept(client: httpx.Client) -> dict[str, Any]:
    """Everything that a restart must not lose. Ages and connection states are left out, because they change."""
    found = {path: client.get(path).json()["data"] for path in ("/orders", "/orders/tasks", "/advanced/batch-orders")}
    found["events"] = client.get("/events", params={"account_id": "primary"}).json()["data"]
    found["subscriptions"] = sorted((row["instrument_token"], row["requested_mode"]) for row in subscriptions(client))
    return found


def subscriptions(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/subscriptions", params={"limit": 200}).json()["data"]
    return found


def last_tick(server: "redis.Redis", token: int) -> dict[str, Any] | None:
    raw = server.hget("ticker:last", str(token))
    return None if raw is None else json.loads(raw)


def states(client: httpx.Client) -> dict[str, str]:
    return {row["order_id"]: row["state"] for row in client.get("/orders").json()["data"]}


def server_pids(directory: Path) -> list[int]:
    files = (directory / "postgres/cluster/postmaster.pid", directory / "redis/server.pid")
    return [int(file.read_text().split()[0]) for file in files]
