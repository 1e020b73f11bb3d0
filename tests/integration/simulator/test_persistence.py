"""What survives when the simulator's process is killed."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.settings import SimulatorSettings
from simulator.state.journal import FILE_NAME, Journal, JournalError
from tests.integration.simulator.order_forms import order_form
from tests.integration.simulator.programs import simulator_program
from tests.simulator_thread import simulator_in_thread

MARKED = ("last_price", "close_price", "pnl", "m2m", "unrealised", "value", "day_change", "day_change_percentage")
"""Fields that depend on the market, not on the orders."""
INFY_1500 = {"instruments": {"NSE:INFY": {"last_price": 1500, "frozen": True, "liquidity": 7}}}
TOKEN = {"Authorization": "token simkey:simtoken"}


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers=TOKEN)


def unmarked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in MARKED} for row in rows]


def picture(client: httpx.Client) -> dict[str, Any]:
    """Everything that a client can read about its orders and funds."""
    orders = client.get("/orders").json()["data"]
    return {
        "orders": orders,
        "histories": [client.get(f"/orders/{order['order_id']}").json()["data"] for order in orders],
        "trades": client.get("/trades").json()["data"],
        "positions": unmarked(client.get("/portfolio/positions").json()["data"]["net"]),
        "holdings": unmarked(client.get("/portfolio/holdings").json()["data"]),
        "margins": client.get("/user/margins").json()["data"],
        "profile": client.get("/user/profile").json()["data"],
        "ledger": client.get("/_sim/ledger").json(),
    }


def trade_a_morning(client: httpx.Client) -> list[str]:
    """Places a partly filled order, a stop, a filled and converted one, a modified, a cancelled, a rejected one."""
    client.post("/_sim/market", json=INFY_1500).raise_for_status()
    orders: list[dict[str, object]] = [
        {"quantity": 10, "tag": "PART1"},
        {"quantity": 5, "price": 1480, "tag": "REST1"},
        {"quantity": 5, "transaction_type": "SELL", "order_type": "SL", "price": 1440, "trigger_price": 1450},
        {"quantity": 5, "price": 1470},
    ]
    answers = [client.post("/orders/regular", data=order_form(**changes)).json() for changes in orders]
    ids = [answer["data"]["order_id"] for answer in answers]
    client.put(f"/orders/regular/{ids[1]}", data={"price": "1481.5"}).raise_for_status()
    client.delete(f"/orders/regular/{ids[3]}").raise_for_status()
    assert client.post("/orders/regular", data=order_form(price=None)).status_code == 400
    conversion = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "position_type": "day",
        "quantity": "3",
        "old_product": "MIS",
        "new_product": "CNC",
    }
    client.put("/portfolio/positions", data=conversion).raise_for_status()
    client.post("/_sim/session", json={"user_id": "SIM001", "demat_consent": ""}).raise_for_status()
    request_id = client.post("/portfolio/holdings/authorise").json()["data"]["request_id"]
    client.get(f"/connect/portfolio/authorise/holdings/simkey/{request_id}")
    return ids


async def test_a_killed_simulator_has_its_book_again(tmp_path: Path) -> None:
    """Orders, histories, trades, positions, funds, authorisations and ledger are the same; ids go on, orders trade."""
    async with simulator_program(tmp_path) as program:
        with client_of(program.url) as client:
            ids = trade_a_morning(client)
            before = picture(client)
            assert (before["profile"]["meta"], before["holdings"][0]["authorised_quantity"]) == (
                {"demat_consent": ""},
                100,
            )
        await program.kill()
    async with simulator_program(tmp_path) as program:
        with client_of(program.url) as client:
            assert picture(client) == before
            client.post("/_sim/market", json=INFY_1500).raise_for_status()
            new = client.post("/orders/regular", data=order_form(price=1400)).json()["data"]["order_id"]
            assert int(new) == int(ids[-1]) + 1
            cheap = {"instruments": {"NSE:INFY": {"last_price": 1475, "liquidity": 100}}}
            client.post("/_sim/market", json=cheap).raise_for_status()
            states = {order["order_id"]: order["status"] for order in client.get("/orders").json()["data"]}
            trade_ids = [trade["trade_id"] for trade in client.get("/trades").json()["data"]]
    assert [states[order_id] for order_id in ids] == ["COMPLETE", "COMPLETE", "TRIGGER PENDING", "CANCELLED"]
    assert len(set(trade_ids)) == len(trade_ids) > len(before["trades"])
    assert [entry["seq"] for entry in before["ledger"]] == [1, 2, 3, 4]


async def test_a_login_survives(tmp_path: Path) -> None:
    """A client's token works after the restart; one that was logged out does not."""
    async with simulator_program(tmp_path) as program:
        with client_of(program.url) as client:
            client.delete("/session/token", params={"api_key": "simkey", "access_token": "simtoken"}).raise_for_status()
            login = {"api_key": "simkey", "request_token": "simreqtoken"}
            checksum = "bcd69288b774c0fe20cf83055d80d2963ef0f3ab58b13f3a86a03b88ba9e205d"
            token = client.post("/session/token", data={**login, "checksum": checksum}).json()["data"]["access_token"]
        await program.kill()
    async with simulator_program(tmp_path) as program:
        with client_of(program.url) as client:
            assert client.get("/orders").status_code == 403
            again = client.get("/orders", headers={"Authorization": f"token simkey:{token}"})
    assert (token == "simtoken", again.status_code) == (False, 200)


async def test_another_day_begins_with_an_empty_book_and_the_old_ledger(tmp_path: Path) -> None:
    """Entries keep their time; bought shares have become holdings; no order of the old day rests."""
    async with simulator_program(tmp_path) as program:
        with client_of(program.url) as client:
            ids = trade_a_morning(client)
        await program.kill()
    async with simulator_program(tmp_path, start="2026-07-07T12:00:00+05:30") as program:
        with client_of(program.url) as client:
            after = picture(client)
            new = client.post("/orders/regular", data=order_form(price=1400)).json()["data"]["order_id"]
    assert (after["orders"], after["trades"], after["positions"]) == ([], [], [])
    assert [entry["order_id"] for entry in after["ledger"]][:4] == ids
    assert {entry["accepted_at"][:10] for entry in after["ledger"][:4]} == {"2026-07-06"}
    infy = next(holding for holding in after["holdings"] if holding["tradingsymbol"] == "INFY")
    assert (infy["quantity"], infy["t1_quantity"]) == (100, 3)
    assert int(new) > max(int(entry["order_id"]) for entry in after["ledger"])


def test_a_journal_that_is_cut_anywhere_is_an_earlier_state(tmp_path: Path) -> None:
    """Cut at any byte, the simulator starts, and its ledger is the beginning of the whole one."""
    settings = SimulatorSettings(port=0, ticks_per_second=0, state_dir=tmp_path)
    with simulator_in_thread(settings) as running, client_of(running.url) as client:
        trade_a_morning(client)
        whole = [entry["order_id"] for entry in client.get("/_sim/ledger").json()]
    raw = (tmp_path / FILE_NAME).read_bytes()
    first = raw.index(b"\n") + 1
    seen = set()
    for cut in (first, first + 1, first + (len(raw) - first) // 3, (first + len(raw)) // 2, len(raw) - 1, len(raw)):
        (tmp_path / FILE_NAME).write_bytes(raw[:cut])
        with simulator_in_thread(settings) as running, client_of(running.url) as client:
            ledger = [entry["order_id"] for entry in client.get("/_sim/ledger").json()]
            assert client.get("/orders").status_code == 200
        assert ledger == whole[: len(ledger)]
        seen.add(len(ledger))
    assert {0, len(whole)} <= seen


def test_two_simulators_do_not_share_a_directory(tmp_path: Path) -> None:
    """The second refuses to start; a file that is no journal is not overwritten."""
    first = Journal(tmp_path)
    with pytest.raises(JournalError, match="is in use by another simulator"):
        Journal(tmp_path)
    first.close()
    (tmp_path / FILE_NAME).write_text('{"version": 99}\n')
    foreign = SimulatorSettings(port=0, state_dir=tmp_path)
    with pytest.raises(JournalError, match="is not a journal"), simulator_in_thread(foreign):
        pass
    assert (tmp_path / FILE_NAME).read_text() == '{"version": 99}\n'


def test_fewer_accounts_than_in_the_journal_are_refused(tmp_path: Path) -> None:
    """No account's positions are lost; more accounts are accepted."""
    for accounts in (2, 3):
        with simulator_in_thread(SimulatorSettings(port=0, accounts=accounts, state_dir=tmp_path)):
            pass
    fewer = SimulatorSettings(port=0, accounts=1, state_dir=tmp_path)
    with pytest.raises(JournalError, match="has 2 accounts; start with --accounts 2"), simulator_in_thread(fewer):
        pass
