"""Compares the simulator's answers with the broker's published samples: the same keys, the same types of values.

As a program: `python -m tests.conformance.shapes URL [DIRECTORY]` requests every answer that has a sample in DIRECTORY
from a running simulator, and prints each difference. It places, changes and cancels orders there, and exits with 1 when
there is a difference. Start the simulator with `--rate-limits off`. The samples are those of
zerodha/kiteconnect-mocks; they are read and never copied.
"""

import csv
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx

MOCKS: Final = Path(os.environ.get("KITE_MOCKS") or Path(__file__).parents[3] / "shared" / "kite-mocks")
HEADERS: Final = {"Authorization": "token simkey:simtoken"}
CHECKSUM: Final = "bcd69288b774c0fe20cf83055d80d2963ef0f3ab58b13f3a86a03b88ba9e205d"
"""The checksum of simkey, simreqtoken and simsecret."""

ORDER: Final = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 10,
    "product": "MIS",
    "order_type": "LIMIT",
    "price": 1500,
}
GTT: Final = {
    "type": "single",
    "condition": json.dumps({"exchange": "NSE", "tradingsymbol": "INFY", "trigger_values": [1400], "last_price": 1500}),
    "orders": json.dumps([{**ORDER, "product": "CNC", "price": 1400}]),
}
ALERT: Final = {
    "name": "INFY",
    "type": "simple",
    "lhs_exchange": "NSE",
    "lhs_tradingsymbol": "INFY",
    "lhs_attribute": "LastTradedPrice",
    "operator": ">=",
    "rhs_type": "constant",
    "rhs_constant": "2000",
}
BASKET: Final = json.dumps(
    {
        "name": "INFY",
        "type": "alert",
        "tags": [],
        "items": [
            {
                "type": "insert",
                "exchange": "NSE",
                "tradingsymbol": "INFY",
                "weight": 1,
                "params": {**ORDER, "variety": "regular", "validity": "DAY", "tags": []},
            }
        ],
    }
)
READS: Final = {
    "profile": "/user/profile",
    "full_profile": "/user/profile/full",
    "margins": "/user/margins",
    "margins_equity": "/user/margins/equity",
    "margin_commodity": "/user/margins/commodity",
    "orders": "/orders",
    "trades": "/trades",
    "positions": "/portfolio/positions",
    "holdings": "/portfolio/holdings",
    "auctions_list": "/portfolio/holdings/auctions",
    "holdings_compact": "/portfolio/holdings/compact",
    "holdings_summary": "/portfolio/holdings/summary",
    "mf_holdings": "/mf/holdings",
    "mf_orders": "/mf/orders",
    "mf_sips": "/mf/sips",
    "quote": "/quote?i=NSE:INFY",
    "ohlc": "/quote/ohlc?i=NSE:INFY",
    "ltp": "/quote/ltp?i=NSE:INFY",
    "trigger_range": "/instruments/trigger_range/buy?i=NSE:INFY&i=NSE:RELIANCE",
    "historical_minute": "/instruments/historical/408065/minute?from=2026-01-01&to=2026-01-05",
    "historical_oi": "/instruments/historical/408065/minute?from=2026-01-01&to=2026-01-05&oi=1",
}
TABLES: Final = {
    "instruments_nse": "/instruments/NSE",
    "instruments_all": "/instruments",
    "mf_instruments": "/mf/instruments",
}
OPTIONAL: Final[Mapping[str, frozenset[str]]] = {
    "orders": frozenset({"account_id", "validity_ttl", "tags", "auction_number", "meta"}),
    "alerts_create_ato": frozenset({"basket"}),
    "order_info": frozenset(
        {
            "account_id",
            "validity_ttl",
            "tags",
            "auction_number",
            "meta",
            "exchange_update_timestamp",
            "guid",
            "market_protection",
            "status_message_raw",
        }
    ),
    "mf_sips": frozenset({"fund_source"}),
    "quote": frozenset({"lower_circuit_limit", "upper_circuit_limit"}),
}
"""Keys that newer answers have and the samples, some years old, may lack; or that only some rows have."""
NO_ROUTE: Final = {
    **dict.fromkeys(
        ("mf_order_response", "mf_order_cancel", "mf_sip_place", "mf_sip_modify", "mf_sip_cancel"),
        "mutual funds are read-only",
    ),
    **dict.fromkeys(("ticker_ltp", "ticker_quote", "ticker_full"), "parsed ticks, not an answer of a route"),
    "postback": "sent to the app, not an answer of a route",
}


def sample(name: str, *, directory: Path = MOCKS) -> Any:
    """The `data` of a sample. One of them lacks the envelope's `status`, so it is not checked."""
    return json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))["data"]


def collect(session: httpx.Client) -> dict[str, Any]:
    """The `data` of the simulator's answer for each sample that has a route. `session` is SIM001's, INFY is at 1500."""
    filled = post(session, "/orders/regular", ORDER)["order_id"]
    found: dict[str, Any] = {name: get(session, path) for name, path in READS.items()}
    found |= collect_orders(session) | collect_triggers(session) | collect_alerts(session) | collect_funds(session)
    sale = {"isin": get(session, "/portfolio/holdings")[0]["isin"], "quantity": 1}
    found["order_info"] = get(session, f"/orders/{filled}")
    found["order_trades"] = get(session, f"/orders/{filled}/trades")
    found["holdings_auth"] = post(session, "/portfolio/holdings/authorise", sale)
    return found | collect_session(session)


def collect_orders(session: httpx.Client) -> dict[str, Any]:
    placed = post(session, "/orders/regular", {**ORDER, "price": 1490})
    path = f"/orders/regular/{placed['order_id']}"
    conversion = {
        **{name: ORDER[name] for name in ("exchange", "tradingsymbol", "transaction_type", "quantity")},
        "position_type": "day", "old_product": "MIS", "new_product": "CNC",
    }  # fmt: skip
    leg = {**ORDER, "variety": "regular"}
    note = {**leg, "order_id": "1", "average_price": 1500}
    return {
        "order_response": placed,
        "order_modify": data_of(session.put(path, data={"price": 1480})),
        "order_cancel": data_of(session.delete(path)),
        "order_margins": data_of(session.post("/margins/orders", json=[leg])),
        "basket_margins": data_of(session.post("/margins/basket", json=[leg, leg])),
        "virtual_contract_note": data_of(session.post("/charges/orders", json=[note])),
        "autoslice_response": place_sliced(session),
        "convert_position": data_of(session.put("/portfolio/positions", data=conversion)),
    }


def place_sliced(session: httpx.Client) -> Any:
    """A future above the freeze quantity, at a price that rests."""
    rows = csv.DictReader(io.StringIO(session.get("/instruments/NFO").text))
    future = next(row for row in rows if row["name"] == "NIFTY" and row["instrument_type"] == "FUT")
    last_price = get(session, f"/quote/ltp?i=NFO:{future['tradingsymbol']}").popitem()[1]["last_price"]
    named = {"exchange": "NFO", "tradingsymbol": future["tradingsymbol"], "product": "NRML", "autoslice": "true"}
    size = {"quantity": int(future["lot_size"]) * 30, "price": round(last_price * 0.99)}
    return post(session, "/orders/regular", {**ORDER, **named, **size})


def collect_triggers(session: httpx.Client) -> dict[str, Any]:
    placed = post(session, "/gtt/triggers", GTT)
    path = f"/gtt/triggers/{placed['trigger_id']}"
    return {
        "gtt_place_order": placed,
        "gtt_get_order": get(session, path),
        "gtt_get_orders": get(session, "/gtt/triggers"),
        "gtt_modify_order": data_of(session.put(path, data=GTT)),
        "gtt_delete_order": data_of(session.delete(path)),
    }


def collect_alerts(session: httpx.Client) -> dict[str, Any]:
    """Those that it creates are deleted again, as later answers would have them."""
    created = post(session, "/alerts", ALERT)
    path = f"/alerts/{created['uuid']}"
    fired = post(session, "/alerts", {**ALERT, "rhs_constant": 1})
    session.post("/_sim/market", json=priced_at(1500)).raise_for_status()  # a new price: the condition is looked at
    found = {
        "alerts_create": created,
        "alerts_history": get(session, f"/alerts/{fired['uuid']}/history"),
        "alerts_get": get(session, "/alerts?status=enabled"),
        "alerts_get_one": get(session, path),
        "alerts_modify": data_of(session.put(path, data=ALERT)),
        "alerts_create_ato": post(session, "/alerts", {**ALERT, "type": "ato", "basket": BASKET}),
    }
    uuids = [alert["uuid"] for alert in (created, fired, found["alerts_create_ato"])]
    return {**found, "alerts_delete": data_of(session.delete("/alerts", params={"uuid": uuids}))}


def collect_funds(session: httpx.Client) -> dict[str, Any]:
    order, sip = get(session, "/mf/orders")[0], get(session, "/mf/sips")[0]
    return {
        "mf_orders_info": get(session, f"/mf/orders/{order['order_id']}"),
        "mf_sip_info": get(session, f"/mf/sips/{sip['sip_id']}"),
    }


def collect_session(session: httpx.Client) -> dict[str, Any]:
    """The logout; it comes last, because it ends the session."""
    form = {"api_key": "simkey", "request_token": "simreqtoken", "checksum": CHECKSUM}
    token = {"api_key": "simkey", "access_token": "simtoken"}
    return {
        "generate_session": post(session, "/session/token", form),
        "session_logout": data_of(session.delete("/session/token", params=token)),
    }


def get(session: httpx.Client, path: str) -> Any:
    return data_of(session.get(path))


def post(session: httpx.Client, path: str, form: Mapping[str, object]) -> Any:
    return data_of(session.post(path, data=dict(form)))


def data_of(answer: httpx.Response) -> Any:
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.request.method} {answer.request.url.path}: {answer.text}")
    return answer.json()["data"]


def kind(value: object) -> str:
    """The JSON type; int and float count as one, because the broker mixes them."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "bool"
    return {int: "number", float: "number", str: "string", list: "array", dict: "object"}[type(value)]


def differences(ours: Any, theirs: Any, *, where: str, optional: frozenset[str] = frozenset()) -> list[str]:
    """Missing keys, surplus keys and values of another type, as text. Maps by symbol are compared by their values."""
    if kind(ours) != kind(theirs):
        tolerated = "null" in (kind(ours), kind(theirs))
        return [] if tolerated else [f"{where}: {kind(ours)} here, {kind(theirs)} there"]
    if isinstance(theirs, list):
        return differences(ours[0], theirs[0], where=f"{where}[0]", optional=optional) if ours and theirs else []
    if not isinstance(theirs, dict):
        return []
    if theirs and all(":" in key for key in theirs):
        return differences([*ours.values()], [*theirs.values()], where=where, optional=optional)
    found = [f"{where}: only there: {key}" for key in theirs.keys() - ours.keys() - optional]
    found += [f"{where}: only here: {key}" for key in ours.keys() - theirs.keys() - optional]
    for key in ours.keys() & theirs.keys():
        found += differences(ours[key], theirs[key], where=f"{where}.{key}", optional=optional)
    return found


def column_differences(session: httpx.Client, name: str, *, directory: Path = MOCKS) -> list[str]:
    """The header lines of the two CSV dumps."""
    with (directory / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        theirs = next(csv.reader(file))
    ours = next(csv.reader(io.StringIO(session.get(TABLES[name]).text)))
    return [] if ours == theirs else [f"{name}: columns {ours} here, {theirs} there"]


def compare(session: httpx.Client, *, directory: Path = MOCKS) -> list[str]:
    """All differences over all samples that have a route."""
    tables = [name for name in TABLES if (directory / f"{name}.csv").exists()]
    found = [line for name in tables for line in column_differences(session, name, directory=directory)]
    for name, ours in collect(session).items():
        if (directory / f"{name}.json").exists():
            theirs = sample(name, directory=directory)
            found += differences(ours, theirs, where=name, optional=OPTIONAL.get(name, frozenset()))
    return found


def priced_at(price: float) -> dict[str, object]:
    """The control request that freezes INFY."""
    return {"instruments": {"NSE:INFY": {"last_price": price, "frozen": True, "liquidity": 10_000}}}


def main(url: str, directory: Path) -> int:
    with httpx.Client(base_url=url, headers=HEADERS) as session:
        session.post("/_sim/market", json=priced_at(1500)).raise_for_status()
        found = compare(session, directory=directory)
    print("\n".join(found) or "no difference")  # noqa: T201 - a command-line program
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else MOCKS))
