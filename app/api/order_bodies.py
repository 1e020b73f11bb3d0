"""What do order requests look like? Kite's fields, prices that are never floats, and no unknown field."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.api.body_shapes import with_fields
from app.api.query_values import Moment, StrictFlag
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
from app.orders.entry.margin import Sequencing
from app.orders.state.model import OnFilled, Resolution
from app.orders.state.new_tasks import OrderLine, Replaces

MAX_ORDERS = 20
STORABLE = r"^[^\x00]*$"
"""PostgreSQL keeps every character but this one."""

AlgoId = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,64}$")]
Price = Annotated[Decimal, Field(max_digits=16, decimal_places=6)]
Positive = Annotated[Decimal, Field(gt=0, max_digits=16, decimal_places=6)]
PriceOrZero = Annotated[Decimal, Field(ge=0, max_digits=16, decimal_places=6)]
Minutes = Annotated[int, Field(strict=True, ge=0, le=1440)]
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


def drop_zeros(
    order: OrderIn | ChangesIn, *, order_type: OrderType | None, variety: Variety | None, validity: Validity | None
) -> None:
    """Make a zero absent where the order has no use for the field, as Kite and its clients take it.

    None stands for what is not known: then a zero stays, and is refused.
    """
    unused = set()
    if order_type in {OrderType.MARKET, OrderType.SL_M}:
        unused.add("price")
    if order_type in {OrderType.MARKET, OrderType.LIMIT} and variety is not Variety.CO:
        unused.add("trigger_price")
    if order_type in {OrderType.LIMIT, OrderType.SL}:
        unused.add("market_protection")
    if validity not in {None, Validity.TTL}:
        unused.add("validity_ttl")
    if variety not in {None, Variety.ICEBERG}:
        unused |= {"iceberg_legs", "iceberg_quantity"}
    for name in unused:
        if getattr(order, name, None) == 0:
            setattr(order, name, None)


class OrderIn(BaseModel):
    """One order, with the parameters of Kite's order API (https://kite.trade/docs/connect/v3/orders/)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": ORDER_EXAMPLE})

    exchange: Exchange
    tradingsymbol: Annotated[str, Field(min_length=1, max_length=64, pattern=STORABLE)]
    transaction_type: TransactionType
    quantity: Quantity
    product: Product
    order_type: OrderType
    variety: Variety = Variety.REGULAR
    price: PriceOrZero | None = None
    trigger_price: PriceOrZero | None = None
    validity: Validity = Validity.DAY
    validity_ttl: Minutes | None = None
    disclosed_quantity: Count | None = None
    iceberg_legs: Annotated[int, Field(strict=True, ge=0, le=50)] | None = None
    iceberg_quantity: Count | None = None
    auction_number: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    market_protection: Price | None = Field(
        default=None, description="-1: the broker chooses the band; a percentage otherwise. Omitted on MARKET: -1"
    )
    autoslice: StrictFlag = False
    algo_id: AlgoId | None = Field(
        default=None, description="the algorithm's id as the exchange has registered it; sent to the broker as it is"
    )
    valid_until: Moment | None = Field(
        default=None, description="not sent after this time; an order is never sent later than its freshness allows"
    )
    not_above: Positive | None = Field(default=None, description="sent only while the last price is at most this")
    not_below: Positive | None = Field(default=None, description="sent only while the last price is at least this")
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,20}$")] | None = Field(
        default=None, description="yours: stored and returned; the tag at the broker is the service's own"
    )

    @model_validator(mode="after")
    def _zeros_are_absent(self) -> Self:
        drop_zeros(self, order_type=self.order_type, variety=self.variety, validity=self.validity)
        return self

    def line(self) -> OrderLine:
        """The order as the entry takes it, with the caller's tag beside it."""
        fields = {name: getattr(self, name) for name in OrderRequest.__dataclass_fields__}
        return OrderLine(request=OrderRequest(**fields), user_tag=self.tag)


_NEEDED_BY: Mapping[str, frozenset[str]] = {
    "exchange": frozenset({"tradingsymbol", "product", "validity", "quantity", "disclosed_quantity"}),
    "quantity": frozenset({"disclosed_quantity", "iceberg_legs", "iceberg_quantity"}),
    "order_type": frozenset({"price", "trigger_price", "market_protection"}),
    "variety": frozenset({"trigger_price", "iceberg_legs", "iceberg_quantity", "auction_number", "autoslice"}),
    "validity": frozenset({"validity_ttl"}),
}
"""Fields that cannot be checked while the one on the left is wrong."""


def readable_order(data: object) -> tuple[OrderIn | None, frozenset[str]]:
    """An order with its wrong fields replaced by valid ones, and the fields that cannot be checked then.

    The order is None where nothing can be checked.
    """
    if not isinstance(data, Mapping):
        return None, frozenset()
    try:
        return OrderIn.model_validate(data), frozenset()
    except ValidationError as error:
        wrong = {str(one["loc"][0]) for one in error.errors(include_url=False) if one["loc"]}
    unchecked = frozenset(wrong).union(*(_NEEDED_BY.get(name, frozenset()) for name in wrong))
    kept = {name: value for name, value in data.items() if name not in wrong}
    stand_ins = {name: value for name, value in ORDER_EXAMPLE.items() if name in wrong}
    try:
        return OrderIn.model_validate({**kept, **stand_ins}), unchecked
    except ValidationError:
        return None, unchecked


class ReplacesIn(BaseModel):
    """The live order that the new one replaces, in the version that the caller has seen."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": dict(REPLACES_EXAMPLE)})

    order_id: OrderId
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$", description="its `version`; 412 when it has changed")]

    def replaces(self) -> Replaces:
        """The same as the entry takes it."""
        return Replaces(order_id=self.order_id, version=self.version)


class SingleOrderIn(OrderIn):
    """One order and the account that it is for."""

    account_id: AccountId = DEFAULT_ACCOUNT
    replaces: ReplacesIn | None = Field(
        default=None,
        description="that order is cancelled first; this one is sent only when it is cancelled without a further fill",
    )


class BatchIn(BaseModel):
    """Up to twenty orders that succeed together or are cancelled together."""

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
    rollback_on_failure: StrictFlag = True
    on_filled: OnFilled = "report"
    order: Sequencing = Field(
        default="as_given", description="margin_first: first what reduces a position, then purchases, then sales"
    )
    orders: Annotated[list[OrderIn], Field(min_length=1, max_length=MAX_ORDERS)]


class ChangesIn(BaseModel):
    """The fields to change. Values are absolute; a field that is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=lambda schema: schema.update(
            example={"price": 1401.5}, anyOf=[with_fields(name) for name in schema["properties"]]
        ),
    )

    quantity: Count | None = None
    price: Price | None = None
    trigger_price: Price | None = None
    order_type: OrderType | None = None
    validity: Validity | None = None
    validity_ttl: Minutes | None = None
    disclosed_quantity: Count | None = None
    market_protection: Price | None = None

    @model_validator(mode="after")
    def _zeros_are_absent(self) -> Self:
        drop_zeros(self, order_type=self.order_type, variety=None, validity=self.validity)
        return self

    def changes(self) -> OrderChanges:
        """The same as the entry takes it; None where nothing changes."""
        return OrderChanges(**{name: getattr(self, name) for name in OrderChanges.__dataclass_fields__})


class ResolveIn(BaseModel):
    """`placed` needs the `order_id` that the book shows; `requeue` places it again under a new task and tag."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"resolution": "not_placed", "note": "not in the contract note of the day"},
            "anyOf": [with_fields(resolution="placed"), with_fields(absent=["order_id"])],
        },
    )

    resolution: Resolution
    order_id: OrderId | None = None
    note: Annotated[str, Field(min_length=1, max_length=500, pattern=STORABLE, description="how you know")]

    @model_validator(mode="after")
    def _order_goes_with_placed(self) -> Self:
        if self.order_id is not None and self.resolution != "placed":
            raise ValueError("order_id goes with resolution placed")
        return self
