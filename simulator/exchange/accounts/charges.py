"""Taxes and fees of one order as Kite's contract note has them, with the rates of 2026. Pure.

They are only displayed: the simulator takes no charges from the funds.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from simulator.exchange.orders.request import TransactionType
from simulator.exchange.orders.units import fund_segment, is_option, multiplier
from simulator.formats import to_number
from simulator.market.instrument import EQUITY, Instrument

ZERO: Final = Decimal(0)
GST: Final = Decimal("0.18")
"""On brokerage and the fees of exchange and SEBI."""
SEBI: Final = Decimal("0.000001")
"""SEBI's fee as a share of the turnover."""
FLAT_FEE: Final = Decimal(20)
"""The most that the broker takes for an order, in rupees."""
FEE_RATE: Final = Decimal("0.0003")
"""The broker's share of the turnover, where that is less than `FLAT_FEE`."""

TaxType = Literal["stt", "ctt", ""]


@dataclass(frozen=True, slots=True)
class Rates:
    """Taxes and fees of one kind of instrument, as shares of the turnover. The tax differs by side."""

    tax_type: TaxType
    tax_buy: Decimal
    tax_sell: Decimal
    exchange: Decimal
    stamp_buy: Decimal


DELIVERY: Final = Rates("stt", Decimal("0.001"), Decimal("0.001"), Decimal("0.0000345"), Decimal("0.00015"))
INTRADAY: Final = Rates("stt", ZERO, Decimal("0.00025"), Decimal("0.0000345"), Decimal("0.00003"))
FUTURE: Final = Rates("stt", ZERO, Decimal("0.0002"), Decimal("0.0000173"), Decimal("0.00002"))
OPTION: Final = Rates("stt", ZERO, Decimal("0.001"), Decimal("0.0003503"), Decimal("0.00003"))
COMMODITY: Final = Rates("ctt", ZERO, Decimal("0.0001"), Decimal("0.000021"), Decimal("0.00002"))
CURRENCY: Final = Rates("", ZERO, ZERO, Decimal("0.0000035"), Decimal("0.000001"))


def rates_for(instrument: Instrument, *, product: str) -> Rates:
    """The rates of an instrument; equity has two, for delivery and for intraday products."""
    if instrument.exchange in EQUITY:
        return INTRADAY if product in ("MIS", "CO") else DELIVERY
    if fund_segment(instrument) == "commodity":
        return COMMODITY
    if instrument.exchange in ("CDS", "BCD"):
        return CURRENCY
    return OPTION if is_option(instrument) else FUTURE


def brokerage(instrument: Instrument, *, product: str, turnover: Decimal) -> Decimal:
    """The broker's fee in rupees: 0 for delivery, flat for options, else the smaller of flat fee and share."""
    if instrument.exchange in EQUITY and product in ("CNC", "MTF"):
        return ZERO
    return FLAT_FEE if is_option(instrument) else min(FLAT_FEE, turnover * FEE_RATE)


def charges(
    instrument: Instrument, *, product: str, side: TransactionType, quantity: int, price: Decimal
) -> dict[str, object]:
    """Kite's `charges` object, in rupees, for one order that is filled at `price`."""
    turnover = quantity * price * multiplier(instrument)
    rates = rates_for(instrument, product=product)
    tax = turnover * (rates.tax_buy if side == "BUY" else rates.tax_sell)
    exchange_fee = turnover * rates.exchange
    sebi = turnover * SEBI
    fee = brokerage(instrument, product=product, turnover=turnover)
    stamp = turnover * rates.stamp_buy if side == "BUY" else ZERO
    gst = (fee + exchange_fee + sebi) * GST
    return {
        "transaction_tax": to_number(tax),
        "transaction_tax_type": rates.tax_type,
        "exchange_turnover_charge": to_number(exchange_fee),
        "sebi_turnover_charge": to_number(sebi),
        "brokerage": to_number(fee),
        "stamp_duty": to_number(stamp),
        "gst": {"igst": to_number(gst), "cgst": 0, "sgst": 0, "total": to_number(gst)},
        "total": to_number(tax + exchange_fee + sebi + fee + stamp + gst),
    }
