"""A few invented mutual funds for Kite's read-only routes. They are the same in every simulator."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from simulator.formats import format_time, to_number

CSV_COLUMNS: Final = (
    "tradingsymbol,amc,name,purchase_allowed,redemption_allowed,minimum_purchase_amount,purchase_amount_multiplier,"
    "minimum_additional_purchase_amount,minimum_redemption_quantity,redemption_quantity_multiplier,dividend_type,"
    "scheme_type,plan,settlement_type,last_price,last_price_date"
)


@dataclass(frozen=True, slots=True)
class Fund:
    """One scheme, and how many units of it a user has."""

    isin: str
    amc: str
    name: str
    scheme: str
    price: Decimal
    quantity: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)


FUNDS: Final = (
    Fund("INF0SIM01011", "SimulatedMutualFund_MF", "Simulated Index Fund - Direct Plan", "equity", Decimal("104.55")),
    Fund(
        "INF0SIM01029",
        "SimulatedMutualFund_MF",
        "Simulated Tax Saver Fund - Direct Plan",
        "elss",
        Decimal("84.86"),
        Decimal("382.488"),
        Decimal("78.43"),
    ),
    Fund(
        "INF0SIM01037",
        "SimulatedMutualFund_MF",
        "Simulated Liquid Fund - Direct Plan",
        "liquid",
        Decimal("2081.4984"),
        Decimal("1.334"),
        Decimal("1874.101138"),
    ),
)
SIP_ID: Final = "181635213661372"
ORDER_ID: Final = str(UUID(int=0x51AD0000000040008000000000000001))


def dump_funds(day: date) -> str:
    """The CSV of `GET /mf/instruments`, with the prices of the day before."""
    rows = [
        f"{fund.isin},{fund.amc},{fund.name},1,1,1000.0,1.0,1000.0,0.001,0.001,growth,{fund.scheme},direct,T1,"
        f"{fund.price},{day - timedelta(days=1)}"
        for fund in FUNDS
    ]
    return "\r\n".join([CSV_COLUMNS, *rows, ""])


def fund_holdings() -> list[dict[str, object]]:
    """The rows of `GET /mf/holdings`."""
    return [
        {
            "folio": f"{3108290880 + number}",
            "fund": fund.name.upper(),
            "tradingsymbol": fund.isin,
            "average_price": to_number(fund.average_price),
            "last_price": to_number(fund.price),
            "last_price_date": "",
            "pledged_quantity": 0,
            "pnl": 0,
            "quantity": to_number(fund.quantity),
        }
        for number, fund in enumerate(FUNDS)
        if fund.quantity
    ]


def fund_orders(user_id: str, now: datetime) -> list[dict[str, object]]:
    """One allotted purchase of the day before."""
    fund, ordered = FUNDS[1], now - timedelta(days=1)
    return [
        {
            "order_id": ORDER_ID,
            "exchange_order_id": "254385",
            "tradingsymbol": fund.isin,
            "status": "COMPLETE",
            "status_message": "Allotted",
            "folio": "3108290881",
            "fund": fund.name,
            "order_timestamp": format_time(ordered),
            "exchange_timestamp": ordered.date(),
            "settlement_id": "1718039",
            "transaction_type": "BUY",
            "variety": "regular",
            "purchase_type": "FRESH",
            "quantity": to_number(fund.quantity),
            "amount": 30_000,
            "last_price": to_number(fund.price),
            "last_price_date": ordered.date(),
            "average_price": to_number(fund.average_price),
            "placed_by": user_id,
            "tag": None,
        }
    ]


def fund_sips(now: datetime) -> list[dict[str, object]]:
    """One weekly plan without an end date."""
    created = now - timedelta(days=3)
    return [
        {
            "sip_id": SIP_ID,
            "tradingsymbol": FUNDS[0].isin,
            "fund": FUNDS[0].name,
            "dividend_type": "growth",
            "transaction_type": "BUY",
            "status": "ACTIVE",
            "created": format_time(created),
            "frequency": "weekly",
            "instalment_amount": 5_000,
            "instalments": -1,
            "pending_instalments": -1,
            "completed_instalments": 0,
            "last_instalment": format_time(created),
            "next_instalment": (created + timedelta(days=7)).date(),
            "instalment_day": 0,
            "sip_type": "sip",
            "sip_reg_num": None,
            "step_up": {"15-02": 10},
            "trigger_price": 0,
            "tag": None,
            "fund_source": "pool",
        }
    ]
