"""Every event that the service wrote in a test is what its published schema says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import psycopg

from app.events.event_schemas import event_schemas
from tests.json_schema import violations

CONNECT_TIMEOUT_S = 20


def check_stored_events(database_url: str) -> None:
    """Fail for each event in the database that its schema does not allow. A database without a log has none."""
    try:
        with psycopg.connect(database_url, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            rows = connection.execute("SELECT seq, type, data::text FROM event ORDER BY seq").fetchall()
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return  # the test dropped it
    wrong = wrong_events([(seq, kind, json.loads(data)) for seq, kind, data in rows])
    assert not wrong, f"{len(wrong)} faults, the first: {wrong[:5]}"


def wrong_events(events: Sequence[tuple[int, str, Any]]) -> list[str]:
    """What is wrong with (seq, type, data) of events."""
    found = []
    for seq, kind, data in events:
        schema = _schemas().get(kind)
        if schema is None:
            found.append(f"event {seq}: the type {kind} has no schema")
        else:
            found += [f"event {seq}, {kind}: {one}" for one in violations(data, schema["$defs"]["data"], root=schema)]
    return found


@cache
def _schemas() -> dict[str, Any]:
    return event_schemas()
