"""Reads a ``History`` from the simulator's ledger and the service's tables, and finds secrets in the logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from chaos.history import (
    Attempt,
    Batch,
    Event,
    Fill,
    History,
    Key,
    KnownOrder,
    LedgerOrder,
    Peaks,
    Task,
)
from chaos.stack import ACCOUNTS

MOST_SLICES = 10
MOST_LEAKS = 20
_USERS = {user: account_id for account_id, (user, *_) in ACCOUNTS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """How long doubts lasted, in seconds, sorted."""

    found: Sequence[float] = ()
    """Doubts about orders that the order book showed later."""

    given_up: Sequence[float] = ()
    """Doubts about orders that the book never showed."""


def read_history(database_url: str, simulator_url: str) -> History:
    """Everything but what clients were answered and saw. Raises psycopg.Error and httpx.HTTPError."""
    with httpx.Client(base_url=simulator_url, trust_env=False, timeout=30) as simulator:
        ledger = simulator.get("/_sim/ledger").json()
        stats = simulator.get("/_sim/stats").json()
    with psycopg.connect(database_url, row_factory=dict_row, connect_timeout=5) as connection:
        rows = {name: connection.execute(sql).fetchall() for name, sql in _QUERIES.items()}
    return History(
        ledger=[_ledger_order(row) for row in ledger],
        tasks=[_task(row) for row in rows["tasks"]],
        attempts=[Attempt(**row) for row in rows["attempts"]],
        orders=[KnownOrder(**row) for row in rows["orders"]],
        fills=[Fill(**row) for row in rows["fills"]],
        events=[_event(row) for row in rows["events"]],
        batches=[Batch(**row) for row in rows["batches"]],
        keys=[Key(**row) for row in rows["keys"]],
        orphans=frozenset(row["subject"] for row in rows["orphans"]),
        peaks=[
            Peaks(account_id=_USERS[user], per_second=peak["max_per_second"], per_minute=peak["max_per_minute"])
            for user, peak in stats["orders"]["arrived"].items()
            if user in _USERS
        ],
    )


def read_doubts(database_url: str) -> Doubts:
    """Doubts from their event to the next event about the same task. Raises psycopg.Error."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        rows = connection.execute(_DOUBTS).fetchall()
    found = sorted(float(seconds) for seconds, failed in rows if not failed)
    return Doubts(found=found, given_up=sorted(float(seconds) for seconds, failed in rows if failed))


def find_leaks(directory: Path, secrets: Sequence[str]) -> list[str]:
    """``file:line`` of each log line with a secret, at most ``MOST_LEAKS``. Files of the servers are not logs."""
    found = []
    logs = [*directory.glob("*.out"), *directory.glob("logs-*/*")]
    for path in logs:
        if path.name.startswith("simulator") or not path.is_file():
            continue
        with path.open(errors="replace") as lines:
            found += [f"{path.name}:{number}" for number, line in enumerate(lines, 1) if _contains(line, secrets)]
    return found[:MOST_LEAKS]


def _contains(line: str, secrets: Sequence[str]) -> bool:
    return any(secret in line for secret in secrets if secret)


def _ledger_order(row: dict[str, Any]) -> LedgerOrder:
    return LedgerOrder(
        order_id=row["order_id"],
        account_id=_USERS[row["user_id"]],
        tag=row["request"].get("tag", ""),
        accepted_at=datetime.fromtimestamp(row["accepted_at_ms"] / 1000, UTC),
        ended_at=None if row["ended_at_ms"] is None else datetime.fromtimestamp(row["ended_at_ms"] / 1000, UTC),
        state=row["state"],
        filled_quantity=row["filled_quantity"],
        tradingsymbol=row["request"]["tradingsymbol"],
        transaction_type=row["request"]["transaction_type"],
    )


def _task(row: dict[str, Any]) -> Task:
    request = row.pop("request")
    variety = request.get("variety")
    slices = int(request.get("iceberg_legs") or {"co": 2, "iceberg": MOST_SLICES}.get(variety, 1))  # a stop; found legs
    # only there quantities are frozen; a task that was found in the book says so of any two orders under its tag
    is_sliced = request.get("autoslice") and request.get("exchange") in {"NFO", "BFO"}
    return Task(most_orders=MOST_SLICES if is_sliced else slices, **row)


def _event(row: dict[str, Any]) -> Event:
    data = row.pop("data")
    about_order = "state" in data and data.get("order_id")
    return Event(
        order_id=data["order_id"] if about_order else None,
        state=data["state"] if about_order else None,
        filled_quantity=int(data.get("filled_quantity") or 0),
        task_id=data.get("task_id"),
        **row,
    )


_QUERIES = {
    "tasks": """SELECT task_id::text, account_id, operation, status, sent, tag_base, order_id,
                  last_error ->> 'code' AS error_code, batch_id::text, request,
                  unwanted_since IS NOT NULL AS unwanted, reduces, replaces, replaces_filled,
                  created_at, finished_at FROM order_task""",
    "attempts": "SELECT task_id::text, attempt::int, outcome FROM order_attempt",
    "orders": "SELECT order_id, account_id, task_id::text, state, filled_quantity FROM broker_order",
    "fills": """SELECT order_id, trade_id, quantity FROM fill WHERE NOT document @> '{"inferred": true}'""",  # C5
    "events": r"""SELECT account_id, seq, type, data, coalesce(hash, '') AS hash,
                    concat_ws(E'\n', account_id, seq, type, extract(epoch FROM occurred_at), data::text) AS content
                  FROM event ORDER BY account_id, seq""",
    "batches": "SELECT batch_id::text, status FROM batch",
    "keys": "SELECT idem_key, resource_id::text FROM idempotency_key",
    "orphans": "SELECT subject FROM order_alarm WHERE kind = 'orphan'",
}
_DOUBTS = """
WITH task_event AS (
  SELECT data ->> 'task_id' AS task_id, type, occurred_at,
    lead(occurred_at) OVER (PARTITION BY data ->> 'task_id' ORDER BY seq) AS next_at,
    lead(type) OVER (PARTITION BY data ->> 'task_id' ORDER BY seq) AS next_type
  FROM event WHERE data ->> 'task_id' IS NOT NULL)
SELECT extract(epoch FROM next_at - occurred_at), next_type = 'order_failed' FROM task_event
WHERE type = 'order_in_doubt' AND next_at IS NOT NULL
"""
