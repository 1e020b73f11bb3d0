"""A scripted session of the broker's Python client with the simulator; only `root=` is set."""

import datetime as dt
import time
from typing import Any

import httpx
import kiteconnect
import pytest
import requests
from kiteconnect import exceptions

from simulator.server import RunningSimulator
from simulator.settings import SimulatorSettings
from tests.simulator_thread import simulator_in_thread

ORDER = {
    "variety": "regular",
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 10,
    "product": "MIS",
    "order_type": "LIMIT",
    "price": 1500,
}
WAIT_S = 20.0
SETTLED = {"OPEN", "AMO REQ RECEIVED", "TRIGGER PENDING"}


@pytest.fixture
def kite(simulator: RunningSimulator) -> Any:
    """Signed in with the preset token."""
    return kiteconnect.KiteConnect(api_key="simkey", access_token="simtoken", root=simulator.url)


def test_login_by_checksum(simulator: RunningSimulator) -> None:
    """The client computes the checksum, and the session is valid immediately."""
    kite = kiteconnect.KiteConnect(api_key="simkey", root=simulator.url)
    session = kite.generate_session("simreqtoken", api_secret="simsecret")
    assert isinstance(session["login_time"], dt.datetime)
    assert kite.access_token == session["access_token"]
    assert kite.profile()["user_id"] == "SIM001"
    assert kite.invalidate_access_token() is True
    with pytest.raises(exceptions.TokenException):
        kite.profile()


def test_margins(kite: Any) -> None:
    """Of both segments, and of each."""
    both = kite.margins()
    assert set(both) == {"equity", "commodity"}
    assert kite.margins("equity")["available"]["cash"] == both["equity"]["available"]["cash"] == 100_000_000


def test_instruments(kite: Any) -> None:
    """The client's CSV reader reads the dump of all exchanges and of one."""
    every = kite.instruments()
    assert len(every) >= 3_000
    nse = kite.instruments("NSE")
    assert {row["exchange"] for row in nse} == {"NSE"}
    infy = next(row for row in nse if row["tradingsymbol"] == "INFY")
    assert (infy["instrument_token"], infy["lot_size"], infy["tick_size"]) == (408065, 1, 0.05)
    assert any(isinstance(row["expiry"], dt.date) for row in every)


def test_quotes(kite: Any) -> None:
    """Full, OHLC and LTP; unknown instruments are left out."""
    full = kite.quote(["NSE:INFY", "NSE:NOSUCH"])
    assert set(full) == {"NSE:INFY"}
    assert isinstance(full["NSE:INFY"]["timestamp"], dt.datetime)
    assert [len(full["NSE:INFY"]["depth"][side]) for side in ("buy", "sell")] == [5, 5]
    assert kite.ohlc("NSE:INFY")["NSE:INFY"]["last_price"] == 1500
    assert kite.ltp("NSE:INFY")["NSE:INFY"] == {"instrument_token": 408065, "last_price": 1500}


def test_historical(kite: Any) -> None:
    """Hourly candles of a past week, in order; a week has trading hours, whatever day it is."""
    start = dt.datetime.now() - dt.timedelta(days=8)  # noqa: DTZ005 - the client's times are naive
    candles = kite.historical_data(408065, start, start + dt.timedelta(days=7), "60minute", oi=True)
    assert candles
    assert [candle["date"] for candle in candles] == sorted(candle["date"] for candle in candles)
    assert all(candle["low"] <= candle["close"] <= candle["high"] and "oi" in candle for candle in candles)


def test_an_order_from_placement_to_trade(kite: Any) -> None:
    """Place, history, trades, positions."""
    order_id = kite.place_order(**ORDER, tag="OFFICIAL1")
    assert isinstance(order_id, str)
    [order] = kite.orders()
    assert (order["status"], order["tag"], order["filled_quantity"]) == ("COMPLETE", "OFFICIAL1", 10)
    assert isinstance(order["order_timestamp"], dt.datetime)
    assert [row["status"] for row in kite.order_history(order_id)][-2:] == ["OPEN", "COMPLETE"]
    [trade] = kite.order_trades(order_id)
    assert (trade["quantity"], kite.trades()[0]["trade_id"]) == (10, trade["trade_id"])
    assert kite.positions()["net"][0]["quantity"] == 10
    assert kite.convert_position("NSE", "INFY", "BUY", "day", 10, "MIS", "CNC") is True


def test_modify_and_cancel(kite: Any) -> None:
    """A resting order gets a new price and is cancelled; a second cancel is refused as at Kite."""
    order_id = kite.place_order(**{**ORDER, "price": 1490})
    assert kite.modify_order("regular", order_id, price=1480) == order_id
    assert kite.cancel_order("regular", order_id) == order_id
    assert [(row["status"], row["price"]) for row in kite.orders()] == [("CANCELLED", 1480)]
    with pytest.raises(exceptions.InputException, match="being processed"):
        kite.cancel_order("regular", order_id)


def test_a_trigger_from_placement_to_deletion(kite: Any) -> None:
    """A single and a two-leg GTT; the list has both."""
    sale = {**{name: ORDER[name] for name in ("order_type", "quantity")}, "transaction_type": "SELL", "product": "CNC"}
    single = kite.place_gtt(kite.GTT_TYPE_SINGLE, "INFY", "NSE", [1600], 1500, [{**sale, "price": 1600}])
    legs = [{**sale, "price": 1400}, {**sale, "price": 1600}]
    pair = kite.place_gtt(kite.GTT_TYPE_OCO, "INFY", "NSE", [1400, 1600], 1500, legs)
    ids = [single["trigger_id"], pair["trigger_id"]]
    assert {row["id"]: (row["type"], row["status"]) for row in kite.get_gtts() if row["id"] in ids} == {
        ids[0]: ("single", "active"),
        ids[1]: ("two-leg", "active"),
    }
    changed = kite.modify_gtt(ids[0], kite.GTT_TYPE_SINGLE, "INFY", "NSE", [1650], 1500, [{**sale, "price": 1650}])
    assert changed["trigger_id"] == ids[0]
    assert kite.get_gtt(ids[0])["condition"]["trigger_values"] == [1650]
    assert kite.delete_gtt(ids[1])["trigger_id"] == ids[1]


def test_mutual_funds_are_read(kite: Any) -> None:
    """Orders, SIPs, holdings and the dump."""
    assert {"fund", "status"} <= set(kite.mf_orders()[0])
    assert "instalments" in kite.mf_sips()[0]
    assert "folio" in kite.mf_holdings()[0]
    assert "tradingsymbol" in kite.mf_instruments()[0]


def test_market_orders_need_protection(kite: Any) -> None:
    """MARKET and SL-M, as at Kite since April 2026."""
    market = {**ORDER, "order_type": "MARKET", "price": None}
    with pytest.raises(exceptions.InputException, match="without market protection"):
        kite.place_order(**market)
    kite.place_order(**market, market_protection=-1)
    kite.place_order(**{**ORDER, "order_type": "SL-M", "price": None}, trigger_price=1510, market_protection=2)
    assert [row["status"] for row in kite.orders()] == ["COMPLETE", "TRIGGER PENDING"]


def test_margins_of_orders(kite: Any) -> None:
    """Of orders and of a basket, and the contract note."""
    leg = {**ORDER, "trigger_price": 0}
    assert kite.order_margins([leg])[0]["total"] == 3_000
    assert kite.basket_order_margins([leg, leg])["final"]["total"] == 6_000
    [note] = kite.get_virtual_contract_note([{**ORDER, "order_id": "1", "average_price": 1500}])
    assert note["charges"]["total"] > 0


def test_holdings(kite: Any) -> None:
    """Rows have a profit; holdings in auctions have a number."""
    assert {"tradingsymbol", "pnl", "t1_quantity"} <= set(kite.holdings()[0])
    assert all(row["auction_number"] for row in kite.get_auction_instruments())


@pytest.mark.parametrize(
    ("variety", "changes", "modification"),
    [
        ("amo", {}, {"price": 1480}),
        ("co", {"trigger_price": 1450}, {"trigger_price": 1440}),
        ("iceberg", {"quantity": 1_000, "iceberg_legs": 5, "iceberg_quantity": 200}, {"price": 1480}),
    ],
)
def test_every_variety_is_placed_changed_and_cancelled(
    kite: Any, variety: str, changes: dict[str, object], modification: dict[str, object]
) -> None:
    """With the client's constants; the book has the variety and the final status."""
    order_id = kite.place_order(**{**ORDER, "price": 1490, "variety": variety, **changes})
    wait_until_settled(kite, order_id)
    assert kite.modify_order(variety, order_id, **modification) == order_id
    assert kite.cancel_order(variety, order_id) == order_id
    order = next(row for row in kite.orders() if row["order_id"] == order_id)
    assert (order["variety"], order["status"]) == (variety, "CANCELLED")


def wait_until_settled(kite: Any, order_id: str) -> None:
    """Waits until the exchange has done what follows its answer."""
    deadline = time.monotonic() + WAIT_S
    while not SETTLED & {row["status"] for row in kite.orders() if row["order_id"] == order_id}:
        assert time.monotonic() < deadline, kite.orders()
        time.sleep(0.01)


def test_an_auction_order_is_placed_and_cancelled(kite: Any) -> None:
    """A sale of a holding with the number of its auction."""
    auction = kite.get_auction_instruments()[0]
    named = {name: auction[name] for name in ("exchange", "tradingsymbol", "auction_number")}
    sale = {"transaction_type": "SELL", "product": "CNC", "variety": "auction", "price": auction["last_price"]}
    order_id = kite.place_order(**{**ORDER, **named, **sale})
    wait_until_settled(kite, order_id)
    assert kite.cancel_order("auction", order_id) == order_id


def test_rate_limits_reach_the_client() -> None:
    """The second quote of a second is a NetworkException with 429."""
    with simulator_in_thread(SimulatorSettings(port=0)) as limited:
        kite = kiteconnect.KiteConnect(api_key="simkey", access_token="simtoken", root=limited.url)
        outcomes = [quote_outcome(kite) for _ in range(3)]  # a second may end in between, but only once
    assert (429, "Too many requests") in outcomes


def quote_outcome(kite: Any) -> object:
    try:
        return kite.ltp("NSE:INFY")
    except exceptions.NetworkException as error:
        return (error.code, str(error))


def test_exception_classes(kite: Any, simulator: RunningSimulator) -> None:
    """For an invalid token, bad input, a missing route, insufficient funds, a rate limit."""
    with pytest.raises(exceptions.InputException, match="Missing or empty field `price`"):
        kite.place_order(**{**ORDER, "price": None})
    with pytest.raises(exceptions.GeneralException, match="Insufficient funds") as poor:
        kite.place_order(**{**ORDER, "product": "CNC", "quantity": 1_000_000})
    assert poor.value.code == 400
    with pytest.raises(exceptions.GeneralException) as missing:
        kite._get("api.token")  # noqa: SLF001 - the client has no public way to a wrong method
    assert (missing.value.code, str(missing.value)) == (405, "Request method not allowed")
    kite._routes = {**kite._routes, "user.profile": "/nowhere"}  # noqa: SLF001 - nor to a route that is not there
    with pytest.raises(exceptions.GeneralException, match="Route not found") as nowhere:
        kite.profile()
    assert nowhere.value.code == 404
    stranger = kiteconnect.KiteConnect(api_key="simkey", access_token="dead", root=simulator.url)
    expired = []
    stranger.set_session_expiry_hook(lambda: expired.append(True))
    with pytest.raises(exceptions.TokenException) as dead:
        stranger.orders()
    assert (dead.value.code, expired) == (403, [True])


def test_faults_reach_the_client_as_its_own_exceptions(kite: Any, simulator: RunningSimulator) -> None:
    """A gateway error is a NetworkException, a lost answer a transport error; the order exists nevertheless."""
    with httpx.Client(base_url=simulator.url) as control:
        before = len(control.get("/_sim/ledger").json())
        orders = {"method": "POST", "path": "/orders/*"}
        params = {"code": 429, "error_type": "NetworkException", "message": "Too many requests"}
        control.post("/_sim/faults", json={**orders, "kind": "status", "params": params})
        with pytest.raises(exceptions.NetworkException, match="Too many requests"):
            kite.place_order(**ORDER)
        control.post("/_sim/faults", json={**orders, "kind": "html_200"})
        with pytest.raises(exceptions.DataException, match="Unknown Content-Type"):
            kite.place_order(**ORDER)
        control.post("/_sim/faults", json={**orders, "kind": "drop_after_accept"})
        with pytest.raises(requests.exceptions.ConnectionError):
            kite.place_order(**ORDER, tag="LOST")
        ledger = control.get("/_sim/ledger", params={"since": before}).json()
    assert [entry["tag"] for entry in ledger] == ["LOST"]
    assert [row["tag"] for row in kite.orders()] == ["LOST"]
