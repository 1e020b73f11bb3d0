"""The broker's JavaScript client with the simulator: a scripted session and its ticker; only `root` is set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.server import RunningSimulator
from simulator.settings import SimulatorSettings
from tests.conformance.node import install_client, run_script
from tests.simulator_thread import simulator_in_thread

BUSY = {"type": "InputException", "text": "Order cannot be cancelled as it is being processed. Try later."}


@pytest.fixture(scope="module")
def modules() -> Path:
    return install_client()


@pytest.fixture
def limited() -> Iterator[RunningSimulator]:
    """With Kite's own request limits."""
    with simulator_in_thread(SimulatorSettings(port=0)) as running:
        yield running


@pytest.fixture
def seen(simulator: RunningSimulator, limited: RunningSimulator, modules: Path) -> dict[str, Any]:
    return run_script("session.mjs", simulator.url, limited.url, modules=modules)


def test_a_session_of_the_javascript_client(seen: dict[str, Any]) -> None:
    """Login, reads, an order from placement to position, protection, margins."""
    assert seen["login"] == {"user_id": "SIM001", "login_time": "object", "token": True}
    reads = seen["reads"]
    assert (reads["margins"], reads["equity"]) == (["commodity", "equity"], 100_000_000)
    assert (reads["instruments"] > 3_000, reads["exchanges"], reads["infy"]) == (True, ["NSE"], "408065")
    assert (reads["quotes"], reads["depth"], reads["ohlc"]) == (["NSE:INFY"], [5, 5], 1500)
    assert reads["ltp"] == {"instrument_token": 408065, "last_price": 1500}
    assert (reads["candles"] > 0, reads["dated"]) == (True, True)
    assert {"tradingsymbol", "pnl", "t1_quantity"} <= set(reads["holdings"])
    assert seen["filled"] == {
        "id": "string",
        "order": ["COMPLETE", "OFFICIALJS", 10],
        "time": True,
        "history": ["OPEN", "COMPLETE"],
        "trade": 10,
        "same": True,
        "position": 10,
        "converted": True,
    }
    assert "without market protection" in seen["protection"]["bare"]["text"]
    assert seen["protection"]["status"] == "COMPLETE"
    assert seen["margins"] == {"order": 3_000, "basket": 6_000, "charges": True}
    check_varieties(seen["varieties"])
    check_triggers(seen["triggers"])
    check_errors(seen["errors"])


def check_varieties(varieties: dict[str, Any]) -> None:
    """Each is placed, changed and cancelled, and cannot be cancelled again."""
    assert set(varieties) == {"regular", "amo", "co", "iceberg", "auction"}
    for variety, steps in varieties.items():
        assert steps["placed"] == "accepted", (variety, steps)
        assert (steps["status"], steps["again"]) == ("CANCELLED", BUSY), (variety, steps)
        assert "value" in steps["cancelled"], (variety, steps)
        assert variety == "auction" or "value" in steps["modified"], (variety, steps)


def check_triggers(triggers: dict[str, Any]) -> None:
    assert triggers == {
        "id": "number",
        "type": "single",
        "status": "active",
        "same": True,
        "listed": True,
        "deleted": True,
    }


def check_errors(errors: dict[str, Any]) -> None:
    """Errors have their class and text; the expiry hook is called."""
    assert errors["dead"] == {"type": "TokenException", "text": "Incorrect `api_key` or `access_token`."}
    assert errors["hooked"] == 1
    assert errors["input"] == {"type": "InputException", "text": "Missing or empty field `price`"}
    assert errors["route"] == {"type": "GeneralException", "text": "Route not found"}
    assert errors["variety"] == {"type": "GeneralException", "text": "Request method not allowed"}
    assert errors["poor"]["type"] == "MarginException"
    assert errors["limited"] == {"type": "NetworkException", "text": "Too many requests"}


def test_the_javascript_ticker_reconnects_and_gets_order_updates(simulator: RunningSimulator, modules: Path) -> None:
    """Three modes, the fill of an order, a connection ended by a fault, and the modes again on the next one."""
    seen = run_script("ticker.mjs", simulator.url, simulator.ws_url, modules=modules)
    modes = {"408065": "ltp", "738561": "quote", "256265": "full"}
    assert (seen["modes"], seen["modesAfter"]) == (modes, modes)
    assert (seen["connects"], seen["reconnects"]) == (2, 1)
    assert seen["order"] == {"status": "COMPLETE", "tag": "TICKERJS"}
