"""The simulator's answers beside the broker's published samples: the same keys, the same kinds of values.

The samples are read from `KITE_MOCKS` (default: `../shared/kite-mocks` beside the repository) and never copied.
"""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.server import RunningSimulator

MOCKS = Path(os.environ.get("KITE_MOCKS") or Path(__file__).parents[3] / "shared" / "kite-mocks")
pytestmark = pytest.mark.skipif(not MOCKS.is_dir(), reason=f"the official samples are not at {MOCKS} (KITE_MOCKS)")

ORDER = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 10,
    "product": "MIS",
    "order_type": "LIMIT",
    "price": 1500,
}
ADDED_SINCE = {
    "orders": {"account_id", "validity_ttl", "tags", "auction_number", "meta"},
    "quote": {"lower_circuit_limit", "upper_circuit_limit"},
}
"""Keys that newer answers have and the samples, some years old, may lack; or that only some rows have."""
READS = {
    "profile": "/user/profile",
    "full_profile": "/user/profile/full",
    "margins": "/user/margins",
    "margins_equity": "/user/margins/equity",
    "orders": "/orders",
    "trades": "/trades",
    "positions": "/portfolio/positions",
    "holdings_compact": "/portfolio/holdings/compact",
    "holdings_summary": "/portfolio/holdings/summary",
    "quote": "/quote?i=NSE:INFY",
    "ltp": "/quote/ltp?i=NSE:INFY",
}


@pytest.fixture
def client(simulator: RunningSimulator) -> Any:
    """Signed in, with one filled order and the position that it made."""
    headers = {"Authorization": "token simkey:simtoken"}
    with httpx.Client(base_url=simulator.url, headers=headers) as session:
        session.post("/orders/regular", data=ORDER).raise_for_status()
        yield session


def sample(name: str) -> Any:
    return json.loads((MOCKS / f"{name}.json").read_text())["data"]


def kind(value: object) -> str:
    """JSON's kinds: an int and a float are one, as the broker mixes them."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "bool"
    return {int: "number", float: "number", str: "string", list: "array", dict: "object"}[type(value)]


def differences(ours: Any, theirs: Any, *, where: str, optional: set[str]) -> list[str]:
    """Missing and surplus keys and values of another kind, in words. Maps keyed by symbols are compared by value."""
    if kind(ours) != kind(theirs):
        tolerated = "null" in (kind(ours), kind(theirs))
        return [] if tolerated else [f"{where}: {kind(ours)} here, {kind(theirs)} there"]
    if isinstance(theirs, list):
        return differences(ours[0], theirs[0], where=f"{where}[0]", optional=optional) if ours and theirs else []
    if not isinstance(theirs, dict):
        return []
    if all(":" in key for key in theirs):
        return differences([*ours.values()], [*theirs.values()], where=where, optional=optional)
    found = [f"{where}: only there: {key}" for key in theirs.keys() - ours.keys() - optional]
    found += [f"{where}: only here: {key}" for key in ours.keys() - theirs.keys() - optional]
    for key in ours.keys() & theirs.keys():
        found += differences(ours[key], theirs[key], where=f"{where}.{key}", optional=optional)
    return found


@pytest.mark.parametrize("name", READS)
def test_a_read_has_the_shape_of_the_official_sample(client: httpx.Client, name: str) -> None:
    """Key by key, kind by kind."""
    ours = client.get(READS[name]).json()["data"]
    assert differences(ours, sample(name), where=name, optional=ADDED_SINCE.get(name, set())) == []


def test_a_login_has_the_shape_of_the_official_sample(client: httpx.Client) -> None:
    """Every field of the session object."""
    checksum = "bcd69288b774c0fe20cf83055d80d2963ef0f3ab58b13f3a86a03b88ba9e205d"
    form = {"api_key": "simkey", "request_token": "simreqtoken", "checksum": checksum}
    ours = client.post("/session/token", data=form).json()["data"]
    assert differences(ours, sample("generate_session"), where="session", optional=set()) == []


def test_writes_have_the_shape_of_the_official_samples(client: httpx.Client) -> None:
    """Place, modify, cancel, margins, logout."""
    placed = client.post("/orders/regular", data={**ORDER, "price": 1490}).json()["data"]
    order_id = placed["order_id"]
    margins = client.post("/margins/orders", json=[{**ORDER, "variety": "regular"}]).json()["data"]
    answers = {
        "order_response": placed,
        "order_modify": client.put(f"/orders/regular/{order_id}", data={"price": 1480}).json()["data"],
        "order_cancel": client.delete(f"/orders/regular/{order_id}").json()["data"],
        "order_margins": margins,
        "session_logout": client.delete(
            "/session/token", params={"api_key": "simkey", "access_token": "simtoken"}
        ).json()["data"],
    }
    found = [
        line for name, ours in answers.items() for line in differences(ours, sample(name), where=name, optional=set())
    ]
    assert found == []


def test_the_comparison_sees_what_it_should() -> None:
    """A missing key, a surplus key and another kind are each reported."""
    found = differences({"a": 1, "b": "x"}, {"a": "1", "c": None}, where="w", optional=set())
    assert sorted(found) == ["w.a: number here, string there", "w: only here: b", "w: only there: c"]
