"""What order requests look like: Kite's fields, decimals never through a binary float, unknown fields refused."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.broker.identifiers import DEFAULT_ACCOUNT, AccountId, OrderId
from app.broker.orders import (
    Exchange,
    OrderChanges,
    OrderRequest,
    OrderType,
    Product,
    TransactionType,
    Validity,
    Variety,
)
from app.orders.state.new_tasks import OrderLine, Replaces

MAX_ORDERS = 20
STORABLE = r"^[^\x00]*$"
"""PostgreSQL keeps every character but this one."""

Price = Annotated[Decimal, Field(max_digits=16, decimal_places=6)]
Positive = Annotated[Decimal, Field(gt=0, max_digits=16, decimal_places=6)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]
Quantity = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]

ORDER_EXAMPLE: dict[str, Any] = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 1,
    "product": "MIS",
    "order_type": "MARKET",
}


REPLACES_EXAMPLE: dict[str, Any] = {"order_id": "2079537787300000001", "version": "4f0c1d2b9a8e7f60513c2b1a09f8e7d6"}


class OrderIn(BaseModel):
    """One order, in the words of Kite's order API."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": ORDER_EXAMPLE})

    exchange: Exchange
    tradingsymbol: Annotated[str, Field(min_length=1, max_length=64, pattern=STORABLE)]
    transaction_type: TransactionType
    quantity: Quantity
    product: Product
    order_type: OrderType
    variety: Variety = Variety.REGULAR
    price: Positive | None = None
    trigger_price: Positive | None = None
    validity: Validity = Validity.DAY
    validity_ttl: Annotated[int, Field(ge=1, le=1440)] | None = None
    disclosed_quantity: Count | None = None
    iceberg_legs: Annotated[int, Field(ge=2, le=50)] | None = None
    iceberg_quantity: Count | None = None
    auction_number: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    market_protection: Price | None = Field(
        default=None, description="-1: the broker chooses the band; a percentage otherwise. Omitted on MARKET: -1"
    )
    autoslice: bool = False
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,20}$")] | None = Field(
        default=None, description="yours: kept here and returned; the tag at the broker is the service's own"
    )

    def line(self) -> OrderLine:
        fields = {name: getattr(self, name) for name in OrderRequest.__dataclass_fields__}
        return OrderLine(request=OrderRequest(**fields), user_tag=self.tag)


_SPEAKS_FOR: Mapping[str, frozenset[str]] = {
    "exchange": frozenset({"tradingsymbol", "product", "validity", "quantity", "disclosed_quantity"}),
    "quantity": frozenset({"disclosed_quantity", "iceberg_legs", "iceberg_quantity"}),
    "order_type": frozenset({"price", "trigger_price", "market_protection"}),
    "variety": frozenset({"trigger_price", "iceberg_legs", "iceberg_quantity", "auction_number", "autoslice"}),
    "validity": frozenset({"validity_ttl"}),
}
"""Fields that cannot be judged while the one on the left is wrong."""


def readable_order(data: object) -> tuple[OrderIn | None, frozenset[str]]:
    """An order with its wrong fields replaced by good ones, and the fields about which it says nothing."""
    if not isinstance(data, Mapping):
        return None, frozenset()
    try:
        return OrderIn.model_validate(data), frozenset()
    except ValidationError as error:
        wrong = {str(one["loc"][0]) for one in error.errors(include_url=False) if one["loc"]}
    unjudged = frozenset(wrong).union(*(_SPEAKS_FOR.get(name, frozenset()) for name in wrong))
    kept = {name: value for name, value in data.items() if name not in wrong}
    stand_ins = {name: value for name, value in ORDER_EXAMPLE.items() if name in wrong}
    try:
        return OrderIn.model_validate({**kept, **stand_ins}), unjudged
    except ValidationError:
        return None, unjudged


class ReplacesIn(BaseModel):
    """The live order whose place the new one takes, as the caller has seen it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": dict(REPLACES_EXAMPLE)})

    order_id: OrderId
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$", description="its `version`; 412 when it has changed")]

    def replaces(self) -> Replaces:
        return Replaces(order_id=self.order_id, version=self.version)


class SingleOrderIn(OrderIn):
    """One order and the account that it is for."""

    account_id: AccountId = DEFAULT_ACCOUNT
    replaces: ReplacesIn | None = Field(
        default=None,
        description="that order is cancelled first; this one goes only when it is gone, and filled nothing meanwhile",
    )


class BatchIn(BaseModel):
    """Up to twenty orders that succeed together or are taken back together."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "account_id": "primary",
                "rollback_on_failure": True,
                "orders": [ORDER_EXAMPLE, {**ORDER_EXAMPLE, "tradingsymbol": "SBIN", "tag": "leg2"}],
            }
        },
    )

    account_id: AccountId = DEFAULT_ACCOUNT
    rollback_on_failure: bool = True
    on_filled: Literal["report", "square_off"] = "report"
    order: Literal["as_given", "margin_first"] = Field(
        default="as_given", description="margin_first: what makes a position smaller, then purchases, then sales"
    )
    orders: Annotated[list[OrderIn], Field(min_length=1, max_length=MAX_ORDERS)]


class ChangesIn(BaseModel):
    """What to change; values are absolute, what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"price": 1401.5}})

    quantity: Count | None = None
    price: Price | None = None
    trigger_price: Price | None = None
    order_type: OrderType | None = None
    validity: Validity | None = None
    disclosed_quantity: Count | None = None
    market_protection: Price | None = None

    def changes(self) -> OrderChanges:
        return OrderChanges(**{name: getattr(self, name) for name in OrderChanges.__dataclass_fields__})


class ResolveIn(BaseModel):
    """`placed` needs the `order_id` that the book shows; `requeue` places it again under a new task and tag."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"resolution": "not_placed", "note": "not in the contract note of the day"}},
    )

    resolution: Literal["placed", "not_placed", "requeue"]
    order_id: OrderId | None = None
    note: Annotated[str, Field(min_length=1, max_length=500, pattern=STORABLE, description="how you know")]

    @model_validator(mode="after")
    def _order_goes_with_placed(self) -> Self:
        if self.order_id is not None and self.resolution != "placed":
            raise ValueError("order_id goes with resolution placed")
        return self


class TaskOut(BaseModel):
    """One thing wanted from the broker, and how far it is. `sent`: whether the broker can have received it."""

    task_id: str
    account_id: str
    operation: Literal["place", "modify", "cancel"]
    status: Literal[
        "pending",
        "held",
        "running",
        "retrying",
        "in_doubt",
        "completed",
        "failed",
        "expired",
        "cancelled",
        "dead_letter",
    ]
    attempts: int
    order_id: str | None
    children: list[dict[str, Any]]
    batch_id: str | None
    leg: int | None
    request: dict[str, Any]
    tag: str | None
    last_error: dict[str, Any] | None
    sent: Literal["no", "unknown", "yes"]
    supersedes: str | None
    cancel_on_sight: bool
    replaces: str | None
    created_at: str
    updated_at: str


class ResidualOut(BaseModel):
    """A position that rollback could not undo; sold is negative."""

    tradingsymbol: str
    exchange: str
    product: str
    quantity: int
    average_price: float


class LegOut(BaseModel):
    index: int
    task_id: str
    status: str
    order_id: str | None
    state: str
    filled_quantity: int
    error: dict[str, Any] | None


class BatchOut(BaseModel):
    """`rolled_back` only when every leg is at its end and nothing filled."""

    batch_id: str
    account_id: str
    status: Literal[
        "running",
        "completed",
        "compensating",
        "rolled_back",
        "rolled_back_with_fills",
        "partially_completed",
        "needs_attention",
    ]
    success: bool
    total_orders: int
    succeeded: int
    failed: int
    rolled_back: int
    residual: list[ResidualOut]
    orders: list[LegOut]
    created_at: str
    completed_at: str | None
    error: dict[str, Any] | None


class WireRequestOut(BaseModel):
    """A request that the broker would get."""

    method: str
    path: str
    form: dict[str, str]


class DryRunOut(BaseModel):
    """Nothing was stored or sent."""

    dry_run: Literal[True] = True
    requests: list[WireRequestOut]
