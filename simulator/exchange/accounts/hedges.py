"""The margin of many exposures together, with the benefit of hedges: what `/margins/basket` shows. Pure.

Placement takes no hedge into account, as Kite's own takes the orders of a basket one by one. Here the exposures in one
underlying are taken together. A bought option covers as many sold ones of its kind, whose span is then at most the
difference of the strikes. And the span of what loses when the price rises and of what loses when it falls is not added
up: the larger one counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from simulator.exchange.accounts.margins import SPAN_SHARE, ZERO, Exposure, blocked, margin_component, side_margin
from simulator.exchange.orders.units import is_option, multiplier
from simulator.market.instrument import Instrument


@dataclass(frozen=True, slots=True)
class MarginSum:
    """Rupees, by Kite's fields; `var` is that of equity."""

    span: Decimal = ZERO
    exposure: Decimal = ZERO
    option_premium: Decimal = ZERO
    var: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return self.span + self.exposure + self.option_premium + self.var

    def plus(self, other: "MarginSum") -> "MarginSum":
        """The sum of two that are apart."""
        return MarginSum(
            span=self.span + other.span,
            exposure=self.exposure + other.exposure,
            option_premium=self.option_premium + other.option_premium,
            var=self.var + other.var,
        )

    def added_to(self, before: "MarginSum") -> "MarginSum":
        """What this is more than `before`, which it contains; nothing where it is less."""
        return MarginSum(
            span=max(ZERO, self.span - before.span),
            exposure=max(ZERO, self.exposure - before.exposure),
            option_premium=max(ZERO, self.option_premium - before.option_premium),
            var=max(ZERO, self.var - before.var),
        )


@dataclass(slots=True)
class _Cover:
    """A bought option, and how much of it covers nothing yet."""

    instrument: Instrument
    quantity: int


@dataclass(slots=True)
class _Risk:
    """A future or sold option: its span, and what of it no bought option covers yet."""

    instrument: Instrument
    rises: bool
    """Whether it loses when the price rises."""
    quantity: int
    span: Decimal


def sum_of(exposures: Iterable[Exposure]) -> MarginSum:
    """The margin of the exposures together."""
    premium = var = derivative = ZERO
    risks: dict[str, list[_Risk]] = {}
    covers: dict[str, list[_Cover]] = {}
    for exposure in exposures:
        amount, component = blocked(exposure), margin_component(exposure)
        if component == "derivative":
            derivative += amount
            risk = _risk_of(exposure, amount * SPAN_SHARE)
            risks.setdefault(exposure.instrument.underlying, []).append(risk)
        elif component == "premium":
            premium += amount
        else:
            var += amount
        bought = max(0, _resulting(exposure, "BUY")) if is_option(exposure.instrument) else 0
        covers.setdefault(exposure.instrument.underlying, []).append(_Cover(exposure.instrument, bought))
    span = sum((_span_of(group, covers.get(name, [])) for name, group in risks.items()), ZERO)
    return MarginSum(span=span, exposure=derivative * (1 - SPAN_SHARE), option_premium=premium, var=var)


def _risk_of(exposure: Exposure, span: Decimal) -> _Risk:
    sold = side_margin(exposure, side="SELL") > side_margin(exposure, side="BUY")
    rises = sold if exposure.instrument.instrument_type in ("FUT", "CE") else not sold
    quantity = abs(_resulting(exposure, "SELL" if sold else "BUY"))
    return _Risk(exposure.instrument, rises=rises, quantity=quantity, span=span)


def _resulting(exposure: Exposure, side: str) -> int:
    sign = 1 if side == "BUY" else -1
    return exposure.quantity * sign + sum(order.quantity for order in exposure.orders if order.side == side)


def _span_of(risks: list[_Risk], covers: list[_Cover]) -> Decimal:
    for risk in risks:
        if is_option(risk.instrument):
            _cover(risk, covers)
    rising = sum((risk.span for risk in risks if risk.rises), ZERO)
    return max(rising, sum((risk.span for risk in risks if not risk.rises), ZERO))


def _cover(risk: _Risk, covers: list[_Cover]) -> None:
    """Replaces the span of what bought options cover by what the pair can lose at most."""
    whole, left, span = risk.quantity, risk.quantity, ZERO
    for cover in covers:
        bought = cover.instrument
        if bought.instrument_type != risk.instrument.instrument_type or bought.expiry != risk.instrument.expiry:
            continue
        used = min(left, cover.quantity)
        cover.quantity, left = cover.quantity - used, left - used
        apart = (bought.strike - risk.instrument.strike) * (1 if bought.instrument_type == "CE" else -1)
        loss = max(ZERO, apart) * multiplier(risk.instrument) * used
        span += min(loss, risk.span * used / whole if whole else ZERO)
    risk.span = span + (risk.span * left / whole if whole else ZERO)
