"""Reads what is stored of one account, in one statement, as the chaos checker's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection

from chaos.history import Attempt, Batch, Event, Fill, History, KnownOrder, LedgerOrder, Task

_ROWS = r"""
SELECT json_build_object(
  'tasks', (SELECT coalesce(json_agg(row), '[]') FROM (
     SELECT task_id, account_id, operation, status, sent, tag_base, order_id, last_error ->> 'code' AS error_code,
       batch_id, unwanted_since IS NOT NULL AS unwanted, replaces, replaces_filled, purpose, target_order_id,
       attempts, request,
       extract(epoch FROM created_at)::float8 AS created_at,
       (SELECT extract(epoch FROM max(a.started_at))::float8 FROM order_attempt a WHERE a.task_id = t.task_id)
         AS last_sent_at
     FROM order_task t WHERE account_id = %(account_id)s ORDER BY task_id) row),
  'attempts', (SELECT coalesce(json_agg(row), '[]') FROM (
     SELECT task_id, attempt, outcome FROM order_attempt JOIN order_task t USING (task_id)
     WHERE t.account_id = %(account_id)s) row),
  'orders', (SELECT coalesce(json_agg(row), '[]') FROM (
     SELECT order_id, account_id, task_id, state, filled_quantity FROM broker_order
     WHERE account_id = %(account_id)s) row),
  'fills', (SELECT coalesce(json_agg(row), '[]') FROM (
     SELECT order_id, trade_id, quantity FROM fill
     WHERE account_id = %(account_id)s AND NOT document @> '{"inferred": true}') row),
  'events', (SELECT coalesce(json_agg(row), '[]') FROM (
     SELECT account_id, seq, type, data, encode(hash, 'hex') AS hash,
       concat_ws(E'\n', account_id, seq, type, extract(epoch FROM occurred_at), data::text) AS content
     FROM event WHERE account_id = %(account_id)s ORDER BY seq) row),
  'batches', (SELECT coalesce(json_agg(row), '[]') FROM (
     SELECT batch_id, status FROM batch WHERE account_id = %(account_id)s) row),
  'keys', (SELECT coalesce(json_agg(row), '[]') FROM (
     SELECT idem_key, resource_id FROM idempotency_key WHERE principal = %(account_id)s) row),
  'orphans', (SELECT coalesce(json_agg(subject), '[]') FROM order_alarm
     WHERE account_id = %(account_id)s AND kind = 'orphan'),
  'killed_at', (SELECT extract(epoch FROM max(occurred_at))::float8 FROM admin_audit
     WHERE subject = %(account_id)s AND action = 'kill'),
  'resumed_at', (SELECT extract(epoch FROM max(occurred_at))::float8 FROM admin_audit
     WHERE subject = %(account_id)s AND action = 'resume'))
"""


async def read_history(
    connection: AsyncConnection[Any], account_id: str, ledger: Sequence[Mapping[str, Any]]
) -> tuple[History, Mapping[str, Any]]:
    """The history for the checker, and the rows themselves."""
    cursor = await connection.execute(_ROWS, {"account_id": account_id})
    found = await cursor.fetchone()
    assert found is not None
    rows: Mapping[str, Any] = found[0]
    history = History(
        ledger=[_ledger_order(row, account_id) for row in ledger],
        tasks=[_task(row) for row in rows["tasks"]],
        attempts=[Attempt(**row) for row in rows["attempts"]],
        orders=[KnownOrder(**row) for row in rows["orders"]],
        fills=[Fill(**row) for row in rows["fills"]],
        events=[_event(row) for row in rows["events"]],
        batches=[Batch(**row) for row in rows["batches"]],
        orphans=frozenset(rows["orphans"]),
    )
    return history, rows


def _ledger_order(row: Mapping[str, Any], account_id: str) -> LedgerOrder:
    ended_ms = row["ended_at_ms"]
    return LedgerOrder(
        order_id=row["order_id"],
        account_id=account_id,
        tag=row["request"].get("tag", ""),
        accepted_at=datetime.fromtimestamp(row["accepted_at_ms"] / 1000, UTC),
        ended_at=None if ended_ms is None else datetime.fromtimestamp(ended_ms / 1000, UTC),
        state=row["state"],
        filled_quantity=row["filled_quantity"],
    )


def _task(row: Mapping[str, Any]) -> Task:
    return Task(
        task_id=row["task_id"],
        account_id=row["account_id"],
        operation=row["operation"],
        status=row["status"],
        sent=row["sent"],
        tag_base=row["tag_base"],
        order_id=row["order_id"],
        error_code=row["error_code"],
        batch_id=row["batch_id"],
        unwanted=row["unwanted"],
        replaces=row["replaces"],
        replaces_filled=row["replaces_filled"],
    )


def _event(row: Mapping[str, Any]) -> Event:
    data = row["data"]
    speaks_of_order = "state" in data and data.get("order_id")
    return Event(
        account_id=row["account_id"],
        seq=row["seq"],
        type=row["type"],
        content=row["content"],
        hash=None if row["hash"] is None else bytes.fromhex(row["hash"]),
        task_id=data.get("task_id"),
        order_id=data["order_id"] if speaks_of_order else None,
        state=data["state"] if speaks_of_order else None,
        filled_quantity=int(data.get("filled_quantity") or 0),
    )
