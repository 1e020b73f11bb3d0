"""Alerts on last prices: what they compare, when that is true, and their rows. Pure."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import eq, ge, gt, le, lt
from typing import Any, Final, Literal

import msgspec

from simulator.formats import format_time, to_number

AlertKind = Literal["simple", "ato"]
AlertStatus = Literal["enabled", "disabled", "deleted"]
Operator = Literal["<=", ">=", "<", ">", "=="]
RhsType = Literal["constant", "instrument"]

MAX_ACTIVE: Final = 500
"""Enabled alerts of one user."""
MAX_FIRINGS: Final = 100
"""Firings kept for one alert; a further one removes the oldest."""
ATTRIBUTE: Final = "LastTradedPrice"
"""What is compared of an instrument; Kite has nothing else."""
COMPARE: Final = {"<=": le, ">=": ge, "<": lt, ">": gt, "==": eq}


@dataclass(frozen=True, slots=True)
class Operand:
    """An instrument in a comparison. `exchange` is as alerts name it: `INDICES` for an index."""

    exchange: str
    tradingsymbol: str
    instrument_token: int


@dataclass(frozen=True, slots=True)
class Firing:
    """One time at which the condition became true."""

    at: datetime
    snapshot: dict[str, Any]
    """The quote of the left operand, in Kite's JSON."""
    order_ids: tuple[str, ...] = ()
    """The basket's orders that were accepted."""


class Alert(msgspec.Struct, frozen=True):
    """One alert: `lhs operator rhs`, or `lhs operator rhs_constant`."""

    uuid: str
    """Its id."""
    user_id: str
    """Whose it is."""
    name: str
    """The user's."""
    kind: AlertKind
    """`ato` (alert triggers order) has a basket."""
    lhs: Operand
    """The left operand."""
    operator: Operator
    """Between left and right."""
    created_at: datetime
    """Aware, as `updated_at`."""
    updated_at: datetime
    """Of the last change or firing."""
    rhs: Operand | None = None
    """None where a constant is compared with."""
    rhs_constant: Decimal = Decimal(0)
    """In rupees."""
    status: AlertStatus = "enabled"
    """Only an enabled alert is evaluated."""
    disabled_reason: str = ""
    """Always empty; Kite has the field."""
    basket: dict[str, Any] | None = None
    """The client's JSON with ids and instrument tokens filled in."""
    alert_count: int = 0
    """How often it fired."""
    condition_met: bool = msgspec.field(default=False, name="holding")  # its name in journals
    """Whether the condition was true at the last evaluation; it must become false before the alert fires again."""
    firings: tuple[Firing, ...] = ()
    """The last ones, oldest first."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """The instruments whose prices it depends on."""
        return (self.lhs.instrument_token, *((self.rhs.instrument_token,) if self.rhs else ()))


def is_true(alert: Alert, *, left: Decimal, right: Decimal) -> bool:
    """Whether the condition is true for these prices in rupees."""
    return bool(COMPARE[alert.operator](left, right))


def condition_text(alert: Alert) -> str:
    """The condition as Kite writes it in the history."""
    left = f'{ATTRIBUTE}("{alert.lhs.exchange}:{alert.lhs.tradingsymbol}")'
    right = f'{ATTRIBUTE}("{alert.rhs.exchange}:{alert.rhs.tradingsymbol}")' if alert.rhs else f"{alert.rhs_constant}"
    return f"{left} {alert.operator} {right}"


def alert_row(alert: Alert) -> dict[str, object]:
    """The object of `GET /alerts/{uuid}`; the fields of an unused operand are empty text."""
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
    """The rows of `GET /alerts/{uuid}/history`; `order_meta` is null for a simple alert."""
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
