"""Every kind of fault with its parameters: the table by which `POST /_sim/faults` is checked.

The parameter `process` says whether the request reaches the exchange: an order may be placed although its answer is
lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from simulator.exchange.orders.order_faults import STUCK_STATUSES

FaultTarget = Literal["connection", "order", "book", "update", "upgrade", "socket"]
"""What a fault acts on: the TCP connection of a request, the order that a request places or changes, an answer of the
order book or trade book, a push, a WebSocket upgrade, an open WebSocket."""

ParamValue = str | int | float | bool

UPDATE_CHANNELS: Final = ("both", "socket", "postback")


class BadFaultError(Exception):
    """A fault that cannot be set; the text names the bad part and what is expected."""


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a kind."""

    default: ParamValue
    """Its type is the parameter's type."""
    choices: tuple[str, ...] = ()
    """The allowed texts; empty: any."""
    minimum: int = 0
    maximum: int = 3_600_000


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind acts on, and its parameters by name."""

    target: FaultTarget
    params: Mapping[str, Param]


FOREVER_OR_MS: Final = Param(-1, minimum=-1)

KINDS: Final[Mapping[str, Kind]] = {
    "drop_before_read": Kind("connection", {}),
    "drop_after_accept": Kind("connection", {}),
    "hang": Kind("connection", {"ms": Param(60_000), "process": Param(default=True)}),
    "delay": Kind("connection", {"ms": Param(1_000)}),
    "reset": Kind("connection", {}),
    "half_headers": Kind("connection", {"process": Param(default=True)}),
    "half_body": Kind("connection", {"process": Param(default=True)}),
    "html_200": Kind("connection", {"code": Param(200, minimum=200, maximum=599), "process": Param(default=False)}),
    "status": Kind(
        "connection",
        {
            "code": Param(500, minimum=400, maximum=599),
            "error_type": Param("GeneralException"),
            "message": Param("Internal server error"),
            "process": Param(default=False),
        },
    ),
    "timeout_400_then_placed": Kind("connection", {"after_ms": Param(8_000)}),
    "late_visible": Kind("order", {"ms": Param(8_000, minimum=-1)}),
    "stuck": Kind("order", {"status": Param("OPEN PENDING", choices=STUCK_STATUSES), "ms": FOREVER_OR_MS}),
    "reject": Kind("order", {"message": Param("RMS:Blocked for nse_cm block type: ALL")}),
    "partial_fill": Kind("order", {"quantity": Param(1, maximum=10**9)}),
    "cancel_fill_race": Kind("order", {}),
    "tag_null": Kind("book", {}),
    "odd_rows": Kind("book", {"id": Param(default=True)}),
    "stale_book": Kind("book", {"ms": Param(5_000)}),
    "shrink_book": Kind("book", {"drop": Param(1, minimum=1)}),
    "shrink_trades": Kind("book", {"drop": Param(1, minimum=1)}),
    "drop_update": Kind("update", {"status": Param(""), "channel": Param("both", choices=UPDATE_CHANNELS)}),
    "duplicate_update": Kind("update", {"status": Param(""), "copies": Param(1, minimum=1, maximum=100)}),
    "reorder_update": Kind("update", {"status": Param(""), "ms": Param(1_000)}),
    "ws_refuse": Kind("upgrade", {"status": Param(403, minimum=400, maximum=599)}),
    "ws_close": Kind("socket", {"code": Param(1011, minimum=1000, maximum=4999)}),
    "ws_silent": Kind("socket", {}),
    "ws_garbage": Kind("socket", {}),
}


def check_params(kind: str, given: Mapping[str, object]) -> dict[str, ParamValue]:
    """All parameters of `kind`, with defaults filled in. Raises BadFaultError, which names the bad one."""
    known = KINDS[kind].params
    for name in given:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise BadFaultError(f"unknown parameter `{name}` for fault `{kind}`; it takes: {allowed}")
    return {name: check_param(kind, name, param, given.get(name, param.default)) for name, param in known.items()}


def check_param(kind: str, name: str, param: Param, value: object) -> ParamValue:
    """The value when it fits `param`. Raises BadFaultError."""
    where = f"parameter `{name}` of fault `{kind}`"
    if isinstance(param.default, bool):
        if not isinstance(value, bool):
            raise BadFaultError(f"{where} wants true or false, got {value!r}")
        return value
    if isinstance(param.default, int):
        if isinstance(value, bool) or not isinstance(value, int) or not param.minimum <= value <= param.maximum:
            raise BadFaultError(f"{where} wants a whole number from {param.minimum} to {param.maximum}, got {value!r}")
        return value
    if not isinstance(value, str) or (param.choices and value not in param.choices):
        wanted = f"one of {', '.join(param.choices)}" if param.choices else "text"
        raise BadFaultError(f"{where} wants {wanted}, got {value!r}")
    return value
