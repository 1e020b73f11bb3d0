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
READS: Final = {
    "profile": "/user/profile",
    "full_profile": "/user/profile/full",
    "margins": "/user/margins",
    "margins_equity": "/user/margins/equity",
    "orders": "/orders",
    "trades": "/trades",
    "positions": "/portfolio/positions",
    "holdings_compact": "/portfolio/holdings/compact",
    "holdings_summary": "/portfolio/holdings/summary",
    "mf_holdings": "/mf/holdings",
    "quote": "/quote?i=NSE:INFY",
    "ltp": "/quote/ltp?i=NSE:INFY",
    "historical_minute": "/instruments/historical/408065/minute?from=2026-01-01&to=2026-01-05",
}
TABLES: Final = {"instruments_nse": "/instruments/NSE", "mf_instruments": "/mf/instruments"}
OPTIONAL: Final[Mapping[str, frozenset[str]]] = {
    "orders": frozenset({"account_id", "validity_ttl", "tags", "auction_number", "meta"}),
    "quote": frozenset({"lower_circuit_limit", "upper_circuit_limit"}),
}
"""Keys that newer answers have and the samples, some years old, may lack; or that only some rows have."""
NO_ROUTE: Final = {
    **dict.fromkeys(
        ("mf_order_response", "mf_order_cancel", "mf_sip_place", "mf_sip_modify", "mf_sip_cancel"),
        "mutual funds are read-only",
    ),
    **dict.fromkeys(("ticker_ltp", "ticker_quote"), "parsed ticks, not an answer of a route"),
}


def sample(name: str, *, directory: Path = MOCKS) -> Any:
    """The `data` of a sample. One of them lacks the envelope's `status`, so it is not checked."""
    return json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))["data"]


def collect(session: httpx.Client) -> dict[str, Any]:
    """The `data` of the simulator's answer for each sample that has a route. `session` is SIM001's, INFY is at 1500."""
    post(session, "/orders/regular", ORDER)
    found: dict[str, Any] = {name: get(session, path) for name, path in READS.items()}
    found |= collect_orders(session) | collect_triggers(session) | collect_alerts(session) | collect_funds(session)
    sale = {"isin": get(session, "/portfolio/holdings")[0]["isin"], "quantity": 1}
    found["holdings_auth"] = post(session, "/portfolio/holdings/authorise", sale)
    return found | collect_session(session)


def collect_orders(session: httpx.Client) -> dict[str, Any]:
    placed = post(session, "/orders/regular", {**ORDER, "price": 1490})
    path = f"/orders/regular/{placed['order_id']}"
    conversion = {
        **{name: ORDER[name] for name in ("exchange", "tradingsymbol", "transaction_type", "quantity")},
        "position_type": "day", "old_product": "MIS", "new_product": "CNC",
    }  # fmt: skip
    margins = session.post("/margins/orders", json=[{**ORDER, "variety": "regular"}])
    return {
        "order_response": placed,
        "order_modify": data_of(session.put(path, data={"price": 1480})),
        "order_cancel": data_of(session.delete(path)),
        "order_margins": data_of(margins),
        "convert_position": data_of(session.put("/portfolio/positions", data=conversion)),
    }


def collect_triggers(session: httpx.Client) -> dict[str, Any]:
    placed = post(session, "/gtt/triggers", GTT)
    path = f"/gtt/triggers/{placed['trigger_id']}"
    return {
        "gtt_place_order": placed,
        "gtt_modify_order": data_of(session.put(path, data=GTT)),
        "gtt_delete_order": data_of(session.delete(path)),
    }


def collect_alerts(session: httpx.Client) -> dict[str, Any]:
    created = post(session, "/alerts", ALERT)
    path = f"/alerts/{created['uuid']}"
    return {
        "alerts_create": created,
        "alerts_get": get(session, "/alerts"),
        "alerts_get_one": get(session, path),
        "alerts_modify": data_of(session.put(path, data=ALERT)),
        "alerts_delete": data_of(session.delete("/alerts", params={"uuid": created["uuid"]})),
    }


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
    found = [line for name in TABLES for line in column_differences(session, name, directory=directory)]
    for name, ours in collect(session).items():
        theirs = sample(name, directory=directory)
        found += differences(ours, theirs, where=name, optional=OPTIONAL.get(name, frozenset()))
    return found


def main(url: str, directory: Path) -> int:
    price = {"instruments": {"NSE:INFY": {"last_price": 1500, "frozen": True, "liquidity": 10_000}}}
    with httpx.Client(base_url=url, headers=HEADERS) as session:
        session.post("/_sim/market", json=price).raise_for_status()
        found = compare(session, directory=directory)
    print("\n".join(found) or "no difference")  # noqa: T201 - a command-line program
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else MOCKS))
