"""Alerts on last prices: what is compared and when it holds. Pure; who notices and places baskets is `watchers`."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import eq, ge, gt, le, lt
from typing import Any, Final, Literal

from simulator.formats import format_time, to_number

AlertKind = Literal["simple", "ato"]
AlertStatus = Literal["enabled", "disabled", "deleted"]
Operator = Literal["<=", ">=", "<", ">", "=="]
RhsType = Literal["constant", "instrument"]

MAX_ACTIVE: Final = 500
MAX_FIRINGS: Final = 100
"""Firings remembered for one alert; the oldest goes first."""
ATTRIBUTE: Final = "LastTradedPrice"
COMPARE: Final = {"<=": le, ">=": ge, "<": lt, ">": gt, "==": eq}


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: an instrument in the alerts' own words (`INDICES` for an index)."""

    exchange: str
    tradingsymbol: str
    instrument_token: int


@dataclass(frozen=True, slots=True)
class Firing:
    """When the condition became true. `snapshot` is the quote in Kite's words, `order_ids` the basket's."""

    at: datetime
    snapshot: dict[str, Any]
    order_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """`rhs` is None for a constant. `basket` (ato) is the client's JSON with ids and tokens filled in."""

    uuid: str
    user_id: str
    name: str
    kind: AlertKind
    lhs: Side
    operator: Operator
    created_at: datetime
    updated_at: datetime
    rhs: Side | None = None
    rhs_constant: Decimal = Decimal(0)
    status: AlertStatus = "enabled"
    disabled_reason: str = ""
    basket: dict[str, Any] | None = None
    alert_count: int = 0
    holding: bool = False
    """The condition was true when last looked at; it has to become false before it can fire again."""
    firings: tuple[Firing, ...] = ()

    @property
    def tokens(self) -> tuple[int, ...]:
        return (self.lhs.instrument_token, *((self.rhs.instrument_token,) if self.rhs else ()))


def is_true(alert: Alert, *, left: Decimal, right: Decimal) -> bool:
    return bool(COMPARE[alert.operator](left, right))


def condition_text(alert: Alert) -> str:
    left = f'{ATTRIBUTE}("{alert.lhs.exchange}:{alert.lhs.tradingsymbol}")'
    right = f'{ATTRIBUTE}("{alert.rhs.exchange}:{alert.rhs.tradingsymbol}")' if alert.rhs else f"{alert.rhs_constant}"
    return f"{left} {alert.operator} {right}"


def alert_row(alert: Alert) -> dict[str, object]:
    """The object of `GET /alerts/{uuid}`; sides that are not used are empty text."""
    row: dict[str, object] = {
        "type": alert.kind,
        "user_id": alert.user_id,
        "uuid": alert.uuid,
        "name": alert.name,
        "status": alert.status,
        "disabled_reason": alert.disabled_reason,
        "lhs_attribute": ATTRIBUTE,
        "lhs_exchange": alert.lhs.exchange,
        "lhs_tradingsymbol": alert.lhs.tradingsymbol,
        "operator": alert.operator,
        "rhs_type": "instrument" if alert.rhs else "constant",
        "rhs_attribute": ATTRIBUTE if alert.rhs else "",
        "rhs_exchange": alert.rhs.exchange if alert.rhs else "",
        "rhs_tradingsymbol": alert.rhs.tradingsymbol if alert.rhs else "",
        "rhs_constant": to_number(alert.rhs_constant),
        "alert_count": alert.alert_count,
        "created_at": format_time(alert.created_at),
        "updated_at": format_time(alert.updated_at),
    }
    if alert.basket is not None:
        row["basket"] = alert.basket
    return row


def firing_rows(alert: Alert) -> list[dict[str, object]]:
    """`GET /alerts/{uuid}/history`; `order_meta` is null for a simple alert."""
    return [
        {
            "uuid": alert.uuid,
            "type": alert.kind,
            "meta": [firing.snapshot],
            "condition": condition_text(alert),
            "created_at": format_time(firing.at),
            "order_meta": [{"order_id": order_id} for order_id in firing.order_ids] if alert.kind == "ato" else None,
        }
        for firing in alert.firings
    ]
