"""The parameters of an order: a form's text as typed values, with Kite's sentences for bad ones.

Official clients also send unknown fields (`variety` again in the body), `True` for `true` and `10.0` for 10. Unknown
fields are ignored.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar, get_args

from simulator.errors import input_error, missing_field
from simulator.exchange.orders.request import OrderRequest, OrderType, Product, TransactionType, Validity, Variety
from simulator.market.instrument import EXCHANGES

Params = Mapping[str, str]
"""A client's form: names to text."""
Choice = TypeVar("Choice", bound=str)

VARIETIES: Final[tuple[Variety, ...]] = get_args(Variety)
TRANSACTION_TYPES: Final[tuple[TransactionType, ...]] = get_args(TransactionType)
PRODUCTS: Final[tuple[Product, ...]] = get_args(Product)
CLIENT_PRODUCTS: Final[tuple[Product, ...]] = ("CNC", "NRML", "MIS", "MTF")
"""The products that a client may request; `CO` exists in answers only."""
MIN_LEGS, MAX_LEGS = 2, 50
"""Of an iceberg."""
ORDER_TYPES: Final[tuple[OrderType, ...]] = get_args(OrderType)
VALIDITIES: Final[tuple[Validity, ...]] = get_args(Validity)
TAG_MAX: Final = 20
QUANTITY_MAX: Final = 10**9
PRICE_MAX: Final = Decimal(10**9)
TTL_MAX: Final = 1440
"""Minutes."""
PLACE_REQUIRED: Final = ("exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type")

_TAG: Final = re.compile(r"[A-Za-z0-9 ]+")


def parse_place(variety: Variety, params: Params) -> OrderRequest:
    """A new order. Raises KiteError 400, which names the first bad field."""
    for name in PLACE_REQUIRED:
        if not params.get(name):
            raise missing_field(name)
    tag = read_tag(params)
    product = read_choice(params, "product", CLIENT_PRODUCTS)
    request = OrderRequest(
        variety=variety,
        exchange=read_choice(params, "exchange", EXCHANGES),
        tradingsymbol=params["tradingsymbol"],
        transaction_type=read_choice(params, "transaction_type", TRANSACTION_TYPES),
        quantity=read_integer(params, "quantity", minimum=1),
        product="CO" if variety == "co" else product,
        order_type=read_choice(params, "order_type", ORDER_TYPES),
        price=read_price(params, "price"),
        trigger_price=read_price(params, "trigger_price"),
        validity=read_choice(params, "validity", VALIDITIES, default="DAY"),
        validity_ttl=read_integer(params, "validity_ttl", default=0, maximum=TTL_MAX),
        disclosed_quantity=read_integer(params, "disclosed_quantity", default=0),
        market_protection=read_number(params, "market_protection"),
        tag=tag,
        tags=(tag,) if tag else (),
        iceberg_legs=read_legs(params) if variety == "iceberg" else 0,
        auction_number=read_auction(params) if variety == "auction" else None,
    )
    return normalise(request)


def parse_modify(current: OrderRequest, params: Params) -> OrderRequest:
    """`current` with the changes of a modification; `quantity` is the new total. Raises KiteError 400."""
    changed = replace(
        current,
        quantity=read_integer(params, "quantity", default=current.quantity, minimum=1),
        price=read_price(params, "price", default=current.price),
        trigger_price=read_price(params, "trigger_price", default=current.trigger_price),
        order_type=read_choice(params, "order_type", ORDER_TYPES, default=current.order_type),
        validity=read_choice(params, "validity", VALIDITIES, default=current.validity),
        validity_ttl=read_integer(params, "validity_ttl", default=current.validity_ttl, maximum=TTL_MAX),
        disclosed_quantity=read_integer(params, "disclosed_quantity", default=current.disclosed_quantity),
        market_protection=read_number(params, "market_protection"),
    )
    return normalise(changed)


def normalise(request: OrderRequest) -> OrderRequest:
    """The request with the prices that its order type does not use set to 0.

    Raises KiteError 400 when a price is missing that it does use.
    """
    priced = request.order_type in ("LIMIT", "SL")
    triggered = request.order_type in ("SL", "SL-M") or request.variety == "co"
    if priced and not request.price:
        raise missing_field("price")
    if triggered and not request.trigger_price:
        raise missing_field("trigger_price")
    if request.validity == "TTL" and not request.validity_ttl:
        raise missing_field("validity_ttl")
    if request.disclosed_quantity > request.quantity:
        raise input_error("`disclosed_quantity` cannot be more than `quantity`.")
    return replace(
        request,
        price=request.price if priced else Decimal(0),
        trigger_price=request.trigger_price if triggered else Decimal(0),
        validity_ttl=request.validity_ttl if request.validity == "TTL" else 0,
    )


def read_choice(params: Params, name: str, choices: Collection[Choice], *, default: Choice | None = None) -> Choice:
    """One of `choices`. Raises KiteError 400 when it is none of them, or missing without a default."""
    value = params.get(name) or default
    if value is None:
        raise missing_field(name)
    for choice in choices:
        if choice == value:
            return choice
    raise input_error(f"Invalid `{name}`.")


def read_number(params: Params, name: str, *, default: Decimal = Decimal(0)) -> Decimal:
    """A finite number of at most `PRICE_MAX` on either side of 0. Raises KiteError 400."""
    text = params.get(name)
    if not text:
        return default
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > PRICE_MAX:
        raise input_error(f"Invalid `{name}`.")
    return number


def read_price(params: Params, name: str, *, default: Decimal = Decimal(0)) -> Decimal:
    """A number that is not negative. Raises KiteError 400."""
    price = read_number(params, name, default=default)
    if price < 0:
        raise input_error(f"Invalid `{name}`.")
    return price


def read_integer(params: Params, name: str, *, default: int = 0, minimum: int = 0, maximum: int = QUANTITY_MAX) -> int:
    """A whole number within the bounds; `10.0` is read as 10. Raises KiteError 400."""
    number = read_number(params, name, default=Decimal(default))
    if number != number.to_integral_value() or not minimum <= number <= maximum:
        raise input_error(f"Invalid `{name}`.")
    return int(number)


def read_flag(params: Params, name: str) -> bool:
    """Whether the field is `true`, `True` or `1`, as the three official clients send it."""
    return params.get(name, "").lower() in ("true", "1")


def read_legs(params: Params) -> int:
    """The number of legs of an iceberg. Raises KiteError 400."""
    if not params.get("iceberg_legs"):
        raise missing_field("iceberg_legs")
    legs = read_integer(params, "iceberg_legs")
    if not MIN_LEGS <= legs <= MAX_LEGS:
        raise input_error(f"`iceberg_legs` should be between {MIN_LEGS} and {MAX_LEGS}.")
    if "iceberg_quantity" in params:
        size, quantity = read_integer(params, "iceberg_quantity", minimum=1), read_integer(params, "quantity")
        if not quantity <= size * legs < quantity + size:
            raise input_error("`iceberg_quantity` should be `quantity` divided by `iceberg_legs`.")
    return legs


def read_auction(params: Params) -> str:
    """The number of the auction that an order takes part in. Raises KiteError 400 when it is missing."""
    if not params.get("auction_number"):
        raise missing_field("auction_number")
    return params["auction_number"]


def read_tag(params: Params) -> str | None:
    """The client's tag. Raises KiteError 400 when it is longer, or not of letters, digits and spaces."""
    tag = params.get("tag")
    if not tag:
        return None
    if len(tag) > TAG_MAX:
        raise input_error(f"`tag` should be max {TAG_MAX} characters")
    if not _TAG.fullmatch(tag):
        raise input_error("`tag` should be alphanumeric")
    return tag
