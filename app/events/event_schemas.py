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
ERROR = nullable(obj({"code": STRING, "message": STRING}, {"broker": obj({})}))

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
_PLACE = {"account_id": STRING, "tag": nullable(STRING), "task_id": nullable(UUID), "batch_id": nullable(UUID)}

ORDER = obj(
    {
        **_PLACE,
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
PLACEMENT = obj(
    {
        **_PLACE,
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
        "error": ERROR,
    },
    {"price": NUMBER, "trigger_price": NUMBER, "market_protection": NUMBER},
    description="a placement that the broker's book has not shown",
)
COMMAND = obj(
    {
        "account_id": STRING,
        "order_id": STRING,
        "task_id": UUID,
        "operation": {"type": "string", "enum": ["modify", "cancel"]},
        "task_status": TASK_STATUS,
        "sent": SENT,
        "error": ERROR,
    },
    description="a modification or cancel of an order",
)
BATCH = obj(
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
                    "error": ERROR,
                }
            )
        ),
        "created_at": TIME,
        "completed_at": nullable(TIME),
        "error": ERROR,
    },
    description="a batch and its legs, as GET /advanced/batch-orders/{batch_id} shows them",
)
FEED = obj({"connected": BOOLEAN, "subscriptions": COUNT, "last_tick_age_ms": nullable(INTEGER)})
SUBSCRIPTIONS = obj({"owner": STRING, "subscribed": array(STRING), "unsubscribed": array(STRING)})
GAP = obj(
    {"from": COUNT, "to": COUNT},
    description="events of this range were too old for the endpoint and were not sent; a replay brings them",
)
TEST = obj({"webhook_id": UUID}, description="sent on request, to one webhook; it is no event of the log")
RESERVED = obj({}, description="this version of the service does not send it")

_DATA: dict[str, Sequence[Schema]] = {
    EventType.ORDER_PLACED: (ORDER, PLACEMENT),
    EventType.ORDER_UPDATED: (ORDER,),
    EventType.ORDER_COMPLETED: (ORDER,),
    EventType.ORDER_FAILED: (PLACEMENT, COMMAND, ORDER),
    EventType.ORDER_CANCELLED: (ORDER, PLACEMENT, COMMAND),
    EventType.ORDER_REJECTED: (ORDER,),
    EventType.ORDER_IN_DOUBT: (PLACEMENT, COMMAND, ORDER),
    EventType.BATCH_COMPLETED: (BATCH,),
    EventType.BATCH_ROLLED_BACK: (BATCH,),
    EventType.BATCH_NEEDS_ATTENTION: (BATCH,),
    EventType.FEED_STALE: (FEED,),
    EventType.FEED_RECOVERED: (FEED,),
    EventType.TOKEN_EXPIRING: (RESERVED,),
    EventType.SUBSCRIPTION_CHANGED: (SUBSCRIPTIONS,),
    EventType.INSTRUMENTS_CHANGED: (RESERVED,),
    EventType.ALERT_TRIGGERED: (RESERVED,),
    EventType.ACCOUNT_BLOCKED: (RESERVED,),
    EventType.ACCOUNT_RECOVERED: (RESERVED,),
    EventType.EVENTS_GAP: (GAP,),
    "test": (TEST,),
}


def event_schemas() -> dict[str, Schema]:
    """The schema of each event type, by its name; ``test`` of the webhooks' test event is one of them."""
    return {kind: _schema_of(kind, documents) for kind, documents in _DATA.items()}


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
