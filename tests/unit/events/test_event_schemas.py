"""The schemas of events: one for each type and no other, and what each lets through."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from app.broker.orders import Operation
from app.events.asyncapi import asyncapi_document
from app.events.event_schemas import DIALECT, event_schemas
from app.events.event_types import EventType
from app.market.subscriptions.market_events import MarketEventType
from app.orders.batches.batch_documents import batch_event_type
from app.orders.state.documents import order_event_type, task_event_type
from app.orders.state.model import BatchStatus, OrderState, TaskStatus
from app.webhooks.housekeeping import GAP, REPLACEABLE
from app.webhooks.service import TEST_TYPE
from tests.event_checks import wrong_events
from tests.json_schema import violations

TYPES = {str(kind) for kind in EventType}
PLACEMENT: dict[str, Any] = {
    "account_id": "primary", "order_id": None, "status": None, "state": "pending", "exchange": "NSE",
    "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "CNC", "order_type": "LIMIT",
    "variety": "regular", "validity": "DAY", "price": 100.5, "filled_quantity": 0, "average_price": 0, "tag": None,
    "task_id": "01a204e9-7a1c-7d31-8c55-0a4b1c9e2f77", "batch_id": None, "version": None, "task_status": "failed",
    "sent": "no", "error": {"code": "REJECTED", "message": "no"},
}  # fmt: skip


def envelope(kind: str, data: Any, **fields: Any) -> dict[str, Any]:
    common = {"account_id": "primary", "seq": 7, "timestamp": "2026-01-05T09:15:01.123456+05:30", "data": data}
    return {"type": kind, **common, **fields}


def test_each_type_has_a_schema_and_the_test_event_too() -> None:
    """The list of types is closed: a schema for another one would promise what is never sent."""
    assert set(event_schemas()) == TYPES | {TEST_TYPE}
    assert {schema["$id"] for schema in event_schemas().values()} == {
        f"/schemas/events/{kind}.json" for kind in event_schemas()
    }
    assert {schema["$schema"] for schema in event_schemas().values()} == {DIALECT}


def test_whatever_the_service_can_write_is_on_the_list() -> None:
    """Every status of a task, an order and a batch, the feeds, and what webhooks add."""
    tasks = {task_event_type(one, status) for one, status in itertools.product(Operation, TaskStatus)}
    orders = {order_event_type(state) for state in OrderState}
    batches = {batch_event_type(status) for status in BatchStatus}
    written = (tasks | orders | batches) - {None} | set(MarketEventType) | {GAP}
    assert {str(one) for one in written} <= TYPES
    assert set(REPLACEABLE) <= TYPES


@pytest.mark.parametrize("kind", sorted(TYPES - {"order_failed"}))
def test_a_document_of_another_type_is_refused(kind: str) -> None:
    """An empty document passes only where the type is not sent yet."""
    schema = event_schemas()[kind]
    is_reserved = "does not send" in str(schema["$defs"]["data"].get("description"))
    assert (violations(envelope(kind, {}), schema) == []) == is_reserved
    assert violations(envelope("order_failed", {}), schema) != []


def test_both_envelopes_pass_and_what_is_missing_or_wrong_does_not() -> None:
    """A webhook's body and a message of the stream; every field of either counts."""
    schema = event_schemas()["order_failed"]
    webhook = envelope("order_failed", PLACEMENT)
    stream = envelope("order_update", PLACEMENT, event="order_failed")
    for good in (webhook, stream):
        assert violations(good, schema) == []
        assert violations(good | {"further": 1}, schema) == []
        for name in good:
            assert violations({key: one for key, one in good.items() if key != name}, schema) != []
    assert violations(stream | {"event": "order_placed"}, schema) != []
    assert violations(webhook | {"timestamp": "2026-01-05T09:15:01"}, schema) != []
    for name, wrong in (("quantity", "1"), ("sent", "maybe"), ("task_id", "1"), ("error", "no"), ("state", None)):
        assert violations(envelope("order_failed", PLACEMENT | {name: wrong}), schema) != []


def test_events_without_a_schema_are_found() -> None:
    """The check that looks at what every test has stored can fail."""
    assert wrong_events([(1, "order_failed", PLACEMENT)]) == []
    assert wrong_events([(1, "order_vanished", PLACEMENT)]) == ["event 1: the type order_vanished has no schema"]
    assert wrong_events([(1, "order_updated", PLACEMENT)]) != []


def test_the_references_of_the_asyncapi_document_lead_to_its_messages() -> None:
    """Each operation names messages of its channel, each message is named by one operation."""
    document = asyncapi_document("1.2.3")
    assert (document["asyncapi"], document["info"]["version"]) == ("3.0.0", "1.2.3")
    named = [one["$ref"] for operation in document["operations"].values() for one in operation["messages"]]
    there = [
        f"#/channels/{channel}/messages/{name}"
        for channel, described in document["channels"].items()
        for name in described["messages"]
    ]
    assert sorted(named) == sorted(there)
    assert set(re.findall(r"\d{4}", document["info"]["description"])) == {"1008", "1012", "1013"}
