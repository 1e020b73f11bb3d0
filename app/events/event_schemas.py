"""The JSON Schema of each event type, as it leaves: at webhooks, on the order stream, and in ``GET /events``.

A schema says which fields are always there and what is in them. More fields may come, none goes away. Of the order
types ``data`` is one of three documents: the order as the broker's book shows it, a placement that the book has not
shown, or a modification or cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from app.events.event_types import EventType

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
TIME: Schema = {"type": "string", "format": "date-time"}  # with the offset +05:30
UUID: Schema = {"type": "string", "format": "uuid"}
COUNT: Schema = {"type": "integer", "minimum": 0}


def nullable(schema: Mapping[str, Any]) -> Schema:
    """The schema of a value that may be null."""
    return {**schema, "type": [schema["type"], "null"]}


def obj(always: Mapping[str, Schema], also: Mapping[str, Schema] | None = None, *, description: str = "") -> Schema:
    """An object that always has the fields ``always``, may have ``also``, and may get further ones."""
    about = {"description": description} if description else {}
    return {**about, "type": "object", "properties": {**always, **(also or {})}, "required": sorted(always)}


def array(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


STATE: Schema = {
    "type": "string",
    "enum": ["pending", "open", "trigger_pending", "partially_filled", "completed", "cancelled", "rejected"],
}
TASK_STATUS: Schema = {
    "type": "string",
    "enum": ["pending", "held", "running", "retrying", "in_doubt", "completed", "failed", "expired", "cancelled",
             "dead_letter"],
}  # fmt: skip
SENT: Schema = {"type": "string", "enum": ["yes", "no", "unknown"]}


def error() -> Schema:
    """The schema of the reason of a failure, or null."""
    return nullable(obj({"code": STRING, "message": STRING}, {"broker": obj({})}))


_TERMS = {
    "exchange": STRING,
    "tradingsymbol": STRING,
    "transaction_type": {"type": "string", "enum": ["BUY", "SELL"]},
    "quantity": INTEGER,
    "product": STRING,
    "order_type": STRING,
    "variety": STRING,
    "validity": STRING,
}


def _place() -> Schema:
    """The schema of which order it is, of both kinds of documents of one."""
    return {"account_id": STRING, "tag": nullable(STRING), "task_id": nullable(UUID), "batch_id": nullable(UUID)}


def order() -> Schema:
    """The schema of an order as the book shows it."""
    return obj(
        {
            **_place(),
            **_TERMS,
            "order_id": STRING,
            "exchange_order_id": nullable(STRING),
            "parent_order_id": nullable(STRING),
            "status": STRING,
            "state": STATE,
            "status_message": nullable(STRING),
            "status_message_raw": nullable(STRING),
            "order_timestamp": nullable(TIME),
            "exchange_timestamp": nullable(TIME),
            "exchange_update_timestamp": nullable(TIME),
            "instrument_token": nullable(INTEGER),
            "price": NUMBER,
            "trigger_price": NUMBER,
            "average_price": NUMBER,
            "filled_quantity": INTEGER,
            "pending_quantity": INTEGER,
            "cancelled_quantity": INTEGER,
            "stale": BOOLEAN,
            "version": STRING,
        },
        {"tags": array(STRING), "meta": {}, "guid": nullable(STRING), "placed_by": nullable(STRING)},
        description="an order as the broker's book shows it, with Kite's fields",
    )


def placement() -> Schema:
    """The schema of a placement without its order."""
    return obj(
        {
            **_place(),
            **_TERMS,
            "task_id": UUID,
            "order_id": nullable(STRING),
            "status": NULL,
            "state": STATE,
            "filled_quantity": COUNT,
            "average_price": NUMBER,
            "version": NULL,
            "task_status": TASK_STATUS,
            "sent": SENT,
            "error": error(),
        },
        {"price": NUMBER, "trigger_price": NUMBER, "market_protection": NUMBER},
        description="a placement that the broker's book has not shown",
    )


def command() -> Schema:
    """The schema of a modification or a cancel."""
    return obj(
        {
            "account_id": STRING,
            "order_id": STRING,
            "task_id": UUID,
            "operation": {"type": "string", "enum": ["modify", "cancel"]},
            "task_status": TASK_STATUS,
            "sent": SENT,
            "error": error(),
        },
        description="a modification or cancel of an order",
    )


def batch() -> Schema:
    """The schema of a batch and its legs."""
    return obj(
        {
            "batch_id": UUID,
            "account_id": STRING,
            "status": STRING,
            "success": BOOLEAN,
            "total_orders": COUNT,
            "succeeded": COUNT,
            "failed": COUNT,
            "rolled_back": COUNT,
            "residual": array(
                obj(
                    {
                        "tradingsymbol": STRING,
                        "exchange": STRING,
                        "product": STRING,
                        "quantity": INTEGER,
                        "average_price": nullable(NUMBER),
                    }
                )
            ),
            "orders": array(
                obj(
                    {
                        "index": INTEGER,
                        "task_id": UUID,
                        "status": TASK_STATUS,
                        "order_id": nullable(STRING),
                        "state": STATE,
                        "filled_quantity": COUNT,
                        "error": error(),
                    }
                )
            ),
            "created_at": TIME,
            "completed_at": nullable(TIME),
            "error": error(),
        },
        description="a batch and its legs, as GET /advanced/batch-orders/{batch_id} shows them",
    )


def feed() -> Schema:
    """The schema of a feed that fell silent, or is back."""
    return obj({"connected": BOOLEAN, "subscriptions": COUNT, "last_tick_age_ms": nullable(INTEGER)})


def subscriptions() -> Schema:
    """The schema of what an owner changed."""
    return obj({"owner": STRING, "subscribed": array(STRING), "unsubscribed": array(STRING)})


def gap() -> Schema:
    """The schema of what an endpoint was not sent."""
    return obj(
        {"from": COUNT, "to": COUNT},
        description="events of this range were too old for the endpoint and were not sent; a replay brings them",
    )


def test() -> Schema:
    """The schema of what a test of a webhook sends."""
    return obj({"webhook_id": UUID}, description="sent on request, to one webhook; it is no event of the log")


def reserved() -> Schema:
    """The schema of what is not sent yet."""
    return obj({}, description="this version of the service does not send it")


def _documents() -> dict[str, Sequence[Schema]]:
    """What ``data`` of each type may be."""
    return {
        EventType.ORDER_PLACED: (order(), placement()),
        EventType.ORDER_UPDATED: (order(),),
        EventType.ORDER_COMPLETED: (order(),),
        EventType.ORDER_FAILED: (placement(), command(), order()),
        EventType.ORDER_CANCELLED: (order(), placement(), command()),
        EventType.ORDER_REJECTED: (order(),),
        EventType.ORDER_IN_DOUBT: (placement(), command(), order()),
        EventType.BATCH_COMPLETED: (batch(),),
        EventType.BATCH_ROLLED_BACK: (batch(),),
        EventType.BATCH_NEEDS_ATTENTION: (batch(),),
        EventType.FEED_STALE: (feed(),),
        EventType.FEED_RECOVERED: (feed(),),
        EventType.TOKEN_EXPIRING: (reserved(),),
        EventType.SUBSCRIPTION_CHANGED: (subscriptions(),),
        EventType.INSTRUMENTS_CHANGED: (reserved(),),
        EventType.ALERT_TRIGGERED: (reserved(),),
        EventType.ACCOUNT_BLOCKED: (reserved(),),
        EventType.ACCOUNT_RECOVERED: (reserved(),),
        EventType.EVENTS_GAP: (gap(),),
        "test": (test(),),
    }


def event_schemas() -> dict[str, Schema]:
    """The schema of each event type, by its name; ``test`` of the webhooks' test event is one of them."""
    return {kind: _schema_of(kind, documents) for kind, documents in _documents().items()}


def _schema_of(kind: str, documents: Sequence[Schema]) -> Schema:
    """Two envelopes around the same ``data``: a webhook's body, and a message of the order stream."""
    data: Schema = {"$ref": "#/$defs/data"}
    common = {"account_id": STRING, "seq": COUNT, "timestamp": TIME, "data": data}
    return {
        "$schema": DIALECT,
        "$id": f"/schemas/events/{kind}.json",
        "title": kind,
        "anyOf": [{"$ref": "#/$defs/webhook"}, {"$ref": "#/$defs/stream"}],
        "$defs": {
            "data": documents[0] if len(documents) == 1 else {"anyOf": list(documents)},
            "webhook": obj({"type": {"const": str(kind)}, **common}),
            "stream": obj({"type": {"const": "order_update"}, "event": {"const": str(kind)}, **common}),
        },
    }
