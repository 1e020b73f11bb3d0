"""The parameters of an order: what a client requested, checked and typed."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Variety = Literal["regular", "amo", "co", "iceberg", "auction"]
TransactionType = Literal["BUY", "SELL"]
Product = Literal["CNC", "NRML", "MIS", "MTF", "CO"]
"""`CO` is the product of a cover order in answers; a client cannot request it."""
OrderType = Literal["MARKET", "LIMIT", "SL", "SL-M"]
Validity = Literal["DAY", "IOC", "TTL"]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client requested, checked and typed."""

    variety: Variety
    exchange: str
    tradingsymbol: str
    transaction_type: TransactionType
    quantity: int
    """The total, filled part included."""
    product: Product
    order_type: OrderType
    """As it is booked: market protection turns MARKET into LIMIT and SL-M into SL."""
    price: Decimal = Decimal(0)
    """0 where the order type has no price."""
    trigger_price: Decimal = Decimal(0)
    """0 where neither the order type nor the variety has a trigger."""
    validity: Validity = "DAY"
    validity_ttl: int = 0
    """Minutes for which an order of validity TTL lives, else 0."""
    disclosed_quantity: int = 0
    """The part that the market may see; 0: all of it."""
    market_protection: Decimal = Decimal(0)
    """-1 for the automatic band, or a percentage; 0 once it has become a limit."""
    tag: str | None = None
    """The client's."""
    tags: tuple[str, ...] = ()
    """`tag` and the tags that the broker adds (`mktp`, `autoslice`)."""
    iceberg_legs: int = 0
    """Into how many legs an iceberg is cut; 0 on the legs themselves."""
    auction_number: str | None = None
