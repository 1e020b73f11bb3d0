"""The AsyncAPI document of both WebSockets: which messages go which way, with the schema of each."""

from __future__ import annotations

from typing import Any

from app.events.event_schemas import (
    BOOLEAN,
    COUNT,
    INTEGER,
    NUMBER,
    STRING,
    TIME,
    Schema,
    array,
    event_schemas,
    nullable,
    obj,
    order,
    placement,
)
from app.events.protocol import PING, PONG, CloseReason

VERSION = "3.0.0"
_MODE: Schema = {"type": "string", "enum": ["ltp", "quote", "full"]}


def _tokens() -> Schema:
    return array({"type": "integer", "minimum": 1})


def _levels() -> Schema:
    return array(obj({"quantity": INTEGER, "price": NUMBER, "orders": INTEGER}))


def _tagged(kind: str, always: dict[str, Schema] | None = None, also: dict[str, Schema] | None = None) -> Schema:
    return obj({"type": {"const": kind}, **(always or {})}, also)


def _command(action: str, also: dict[str, Schema] | None = None) -> Schema:
    return obj({"action": {"const": action}, "tokens": _tokens()}, also)


def _auth() -> Schema:
    return _tagged("auth", {"api_key": STRING}, {"resume": obj({"epoch": STRING, "seq": COUNT})})


def _tick() -> Schema:
    return obj(
        {
            "v": {"const": 1},
            "instrument_token": INTEGER,
            "mode": _MODE,
            "tradable": BOOLEAN,
            "last_price": NUMBER,
            "account_id": STRING,
            "seq": INTEGER,
            "received_at": INTEGER,
            "source": {"type": "string", "enum": ["live", "simulator", "replay"]},
        },
        {
            "exchange": STRING,
            "tradingsymbol": STRING,
            "last_traded_quantity": INTEGER,
            "average_traded_price": NUMBER,
            "volume_traded": INTEGER,
            "total_buy_quantity": INTEGER,
            "total_sell_quantity": INTEGER,
            "ohlc": obj({"open": NUMBER, "high": NUMBER, "low": NUMBER, "close": NUMBER}),
            "change": NUMBER,
            "last_trade_time": nullable(INTEGER),
            "oi": INTEGER,
            "oi_day_high": INTEGER,
            "oi_day_low": INTEGER,
            "exchange_timestamp": nullable(INTEGER),
            "depth": obj({"buy": _levels(), "sell": _levels()}),
        },
        description="the only message without a type",
    )


def _sent_by_clients() -> dict[str, dict[str, Schema]]:
    return {
        "orders": {"auth": _auth(), PING: {"const": PING}},
        "ticks": {
            "auth": _tagged("auth", {"api_key": STRING}),
            "subscribe": _command("subscribe", {"mode": _MODE}),
            "unsubscribe": _command("unsubscribe"),
            PING: {"const": PING},
        },
    }


def _sent_to_clients() -> dict[str, dict[str, Schema]]:
    return {
        "orders": {
            "authenticated": _tagged(
                "authenticated", {"account_id": STRING, "epoch": STRING, "seq": COUNT, "resumed": BOOLEAN}
            ),
            "snapshot": _tagged("snapshot", {"seq": COUNT, "orders": array({"anyOf": [order(), placement()]})}),
            "order_update": _tagged(
                "order_update",
                {
                    "account_id": STRING,
                    "seq": COUNT,
                    "event": {"type": "string", "enum": [kind for kind in event_schemas() if kind != "test"]},
                    "timestamp": TIME,
                    "data": {"type": "object", "description": "as /schemas/events/{event}.json says"},
                },
            ),
            "heartbeat": _tagged("heartbeat", {"seq": COUNT}),
            PONG: {"const": PONG},
        },
        "ticks": {
            "authenticated": _tagged("authenticated"),
            "subscribed": _tagged("subscribed", {"tokens": _tokens(), "mode": _MODE}),
            "unsubscribed": _tagged("unsubscribed", {"tokens": _tokens()}),
            "error": _tagged("error", {"code": STRING, "detail": STRING, "tokens": _tokens()}),
            "heartbeat": _tagged("heartbeat"),
            "tick": _tick(),
            PONG: {"const": PONG},
        },
    }


_ADDRESSES = {"orders": "/advanced/ws/orders/{account_id}", "ticks": "/ws/ticks"}
_DESCRIPTIONS = {
    "orders": "Events of an account: the first message authenticates and may resume; then `seq` rises by exactly 1.",
    "ticks": "The newest tick of each subscribed instrument; a slow reader misses older ones.",
}


def asyncapi_document(version: str) -> dict[str, Any]:
    """The document, for the service of this version."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "ticker-service",
            "version": version,
            "description": "A close has one of these codes and reasons: "
            + ", ".join(f"{reason.code} {reason.text}" for reason in CloseReason),
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name) for name in _ADDRESSES},
        "operations": {
            **{f"send_{name}": _operation("send", name, _sent_to_clients()[name], "To") for name in _ADDRESSES},
            **{f"receive_{name}": _operation("receive", name, _sent_by_clients()[name], "From") for name in _ADDRESSES},
        },
    }


def _channel(name: str) -> dict[str, Any]:
    messages = {
        **{f"{kind}To": _message(kind, payload) for kind, payload in _sent_to_clients()[name].items()},
        **{f"{kind}From": _message(kind, payload) for kind, payload in _sent_by_clients()[name].items()},
    }
    parameters = {"account_id": {"description": "the account whose events are sent"}}
    return {
        "address": _ADDRESSES[name],
        "description": _DESCRIPTIONS[name],
        "messages": messages,
        **({"parameters": parameters} if "{account_id}" in _ADDRESSES[name] else {}),
    }


def _message(kind: str, payload: Schema) -> dict[str, Any]:
    is_text = kind in {PING, PONG}
    return {"name": kind, "contentType": "text/plain" if is_text else "application/json", "payload": payload}


def _operation(action: str, name: str, messages: dict[str, Schema], suffix: str) -> dict[str, Any]:
    references = [{"$ref": f"#/channels/{name}/messages/{kind}{suffix}"} for kind in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{name}"}, "messages": references}
