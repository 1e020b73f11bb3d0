"""Every public method of the broker's Python and JavaScript clients, called once on the simulator.

A method that a newer client has and that is not called here fails the test. What a method needs is in the scripted
sessions; here it only has to be answered in a form that the client takes.
"""

import inspect
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import PermissionException

from simulator.server import RunningSimulator
from tests.conformance.node import install_client, run_script

ORDER = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 10,
    "product": "MIS",
    "order_type": "LIMIT",
    "price": 1490,
}
FUND = "INF846K01DP8"


class CalledMethods:
    """The client, and the names of what was called of it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(self.client, name)


@pytest.fixture
def kite(simulator: RunningSimulator) -> Any:
    return CalledMethods(KiteConnect(api_key="simkey", root=simulator.url))


def test_every_method_of_the_python_client_is_answered(kite: Any) -> None:
    """Mutual funds are only read: their writing methods are refused as at Kite."""
    session = open_session(kite)
    call_reads(kite)
    call_orders(kite)
    call_triggers(kite)
    call_funds(kite)
    assert kite.invalidate_refresh_token(session["refresh_token"]) is True
    assert kite.invalidate_access_token() is True
    public = {name for name, _ in inspect.getmembers(KiteConnect, inspect.isfunction) if not name.startswith("_")}
    assert public - kite.names == set()


def open_session(kite: Any) -> Any:
    """Logs in, and renews the session once."""
    assert "api_key=simkey" in kite.login_url()
    kite.set_session_expiry_hook(lambda: None)
    session = kite.generate_session("simreqtoken", api_secret="simsecret")
    renewed = kite.renew_access_token(session["refresh_token"], api_secret="simsecret")
    kite.set_access_token(renewed["access_token"])
    return renewed


def call_reads(kite: Any) -> None:
    now = datetime.now()  # noqa: DTZ005 - the client's times are naive
    assert kite.profile()["user_id"] == "SIM001"
    assert set(kite.margins()) == {"equity", "commodity"}
    assert kite.instruments("NSE")
    assert kite.historical_data(408065, now - timedelta(days=8), now, "day")
    for read in (kite.quote, kite.ohlc, kite.ltp):
        assert set(read("NSE:INFY")) == {"NSE:INFY"}
    assert {"lower", "upper"} <= set(kite.trigger_range("BUY", "NSE:INFY")["NSE:INFY"])
    assert kite.holdings()
    assert kite.order_margins([{**ORDER, "variety": "regular"}])[0]["total"] > 0
    assert kite.basket_order_margins([{**ORDER, "variety": "regular"}])["final"]["total"] > 0
    note = {**ORDER, "variety": "regular", "order_id": "1", "average_price": 1500}
    assert kite.get_virtual_contract_note([note])[0]["charges"]["total"] > 0


def call_orders(kite: Any) -> None:
    resting = kite.place_order("regular", **ORDER)
    assert kite.modify_order("regular", resting, price=1480) == resting
    assert kite.cancel_order("regular", resting) == resting
    filled = kite.place_order("regular", **{**ORDER, "price": 1500})
    assert kite.order_history(filled)[-1]["status"] == "COMPLETE"
    assert kite.order_trades(filled)[0]["trade_id"] == kite.trades()[0]["trade_id"]
    cover = kite.place_order("co", **ORDER, trigger_price=1450)
    assert kite.exit_order("co", cover) == cover
    assert {row["status"] for row in kite.orders()} == {"COMPLETE", "CANCELLED"}
    assert kite.positions()["net"][0]["quantity"] == 10
    assert kite.convert_position("NSE", "INFY", "BUY", "day", 10, "MIS", "CNC") is True
    assert kite.get_auction_instruments()[0]["auction_number"]
    future = next(row for row in kite.instruments("NFO") if (row["name"], row["instrument_type"]) == ("NIFTY", "FUT"))
    large = {**ORDER, "exchange": "NFO", "tradingsymbol": future["tradingsymbol"], "product": "NRML"}
    price = round(kite.ltp(f"NFO:{future['tradingsymbol']}")[f"NFO:{future['tradingsymbol']}"]["last_price"]) - 300
    sliced = kite.place_autoslice_order("regular", **{**large, "quantity": future["lot_size"] * 30, "price": price})
    assert len(sliced["children"]) == 2


def call_triggers(kite: Any) -> None:
    leg = {"transaction_type": "SELL", "quantity": 1, "order_type": "LIMIT", "product": "CNC"}
    single = ("single", "INFY", "NSE", [1600], 1500, [{**leg, "price": 1600}])
    trigger_id = kite.place_gtt(*single)["trigger_id"]
    assert kite.modify_gtt(trigger_id, *single)["trigger_id"] == trigger_id
    assert kite.get_gtt(trigger_id)["status"] == "active"
    assert trigger_id in {row["id"] for row in kite.get_gtts()}
    assert kite.delete_gtt(trigger_id)["trigger_id"] == trigger_id


def call_funds(kite: Any) -> None:
    for read in (kite.mf_orders, kite.mf_sips, kite.mf_holdings, kite.mf_instruments):
        assert read()
    writes = [
        partial(kite.place_mf_order, FUND, "BUY", amount=5_000),
        partial(kite.cancel_mf_order, "1"),
        partial(kite.place_mf_sip, FUND, 5_000, 12, "monthly"),
        partial(kite.modify_mf_sip, "1", amount=6_000),
        partial(kite.cancel_mf_sip, "1"),
    ]
    for write in writes:
        with pytest.raises(PermissionException):
            write()


def test_every_method_of_the_javascript_client_is_answered(simulator: RunningSimulator) -> None:
    """As above; the script says which methods the client has, and how each was answered."""
    modules: Path = install_client()
    seen = run_script("methods.mjs", simulator.url, modules=modules)
    assert set(seen["methods"]) - set(seen["answers"]) == set()
    refused = {name: answer for name, answer in seen["answers"].items() if answer != "answered"}
    assert refused == dict.fromkeys(
        ("placeMFOrder", "cancelMFOrder", "placeMFSIP", "modifyMFSIP", "cancelMFSIP"), "PermissionException"
    )
