"""The orders that close positions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from app.broker.orders import Exchange, OrderRequest, OrderType, Product, TransactionType
from app.orders.risk.positions import Net

_SLICED = frozenset({Exchange.NFO, Exchange.BFO})
"""Where the exchange freezes large orders: the broker cuts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFilter:
    """Which positions of one account are meant; a field that is None matches all."""

    account_id: str
    exchange: str | None = None
    tradingsymbol: str | None = None
    product: str | None = None

    def matches(self, exchange: str, tradingsymbol: str, product: str) -> bool:
        """Whether a position in this instrument and product is meant."""
        fields = ((self.exchange, exchange), (self.tradingsymbol, tradingsymbol), (self.product, product))
        return all(wanted is None or wanted == found for wanted, found in fields)


def matching(net: Net, wanted: PositionFilter) -> dict[tuple[str, str, str], int]:
    """The open positions that match: signed quantities by exchange, symbol and product, in that order."""
    return {key: quantity for key, quantity in sorted(net.items()) if quantity and wanted.matches(*key)}


def not_closable(positions: Sequence[tuple[str, str, str]]) -> list[str]:
    """Those for which no order can be placed here, in words: an exchange or a product that orders do not know."""
    return [
        f"{exchange}:{symbol} ({product})"
        for exchange, symbol, product in positions
        if exchange not in {*Exchange} or product not in {*Product}
    ]


def exit_order(position: tuple[str, str, str], quantity: int, *, algo_id: str | None = None) -> OrderRequest:
    """The market order that closes this signed quantity; ``position`` is its exchange, symbol and product.

    ``algo_id``: under which the exchange has registered the algorithm that closes it.
    """
    exchange, tradingsymbol, product = position
    return market_exit(
        exchange=Exchange(exchange),
        tradingsymbol=tradingsymbol,
        product=Product(product),
        transaction_type=TransactionType.SELL if quantity > 0 else TransactionType.BUY,
        quantity=abs(quantity),
        algo_id=algo_id,
    )


def limit_exit(exit_at_market: OrderRequest, price: Decimal) -> OrderRequest:
    """The same exit at a limit, in rupees."""
    return replace(exit_at_market, order_type=OrderType.LIMIT, price=price, market_protection=None)


def market_exit(
    *,
    exchange: Exchange,
    tradingsymbol: str,
    product: Product,
    transaction_type: TransactionType,
    quantity: int,
    algo_id: str | None,
) -> OrderRequest:
    """A market order with the broker's own price protection, which is compulsory."""
    return OrderRequest(
        exchange=exchange,
        tradingsymbol=tradingsymbol,
        transaction_type=transaction_type,
        quantity=quantity,
        product=product,
        order_type=OrderType.MARKET,
        market_protection=Decimal(-1),
        autoslice=exchange in _SLICED,
        algo_id=algo_id,
    )
