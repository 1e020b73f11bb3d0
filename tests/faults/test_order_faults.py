"""What can happen to one order between our socket and the broker's book, and what must come of it.

Each test drives one fault of the simulator and judges by its ledger: the list of what the exchange really accepted.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from app.orders.acceptance import Caller
from app.orders.documents import task_document
from app.orders.model import FINISHED, TaskStatus
from simulator.server import RunningSimulator
from tests.desk import Desk, open_desk, order
from tests.waiting import until


async def end_of(desk: Desk, task: Mapping[str, Any], *, within_s: float = 12.0) -> Mapping[str, Any]:
    """The task document once the task is at its end."""

    async def ended() -> bool:
        return (await desk.service.queries.task(UUID(task["task_id"]))).status in FINISHED

    await until(ended, within_s=within_s)
    return task_document(await desk.service.queries.task(UUID(task["task_id"])))


async def test_a_lost_answer_is_found_in_the_book_by_its_tag(desk: Desk) -> None:
    """Accepted, then the connection drops: in doubt, then completed with the broker's id; one order."""
    await desk.fault("drop_after_accept")
    task = await desk.place()
    assert (task["status"], task["sent"]) == ("completed", "yes")
    assert [row["order_id"] for row in await desk.ledger()] == [task["order_id"]]
    assert "order_in_doubt" in [kind for _, kind, _ in await desk.events()]


async def test_a_batch_survives_a_lost_answer(desk: Desk) -> None:
    """drop_after_accept in the middle of a batch: it completes, each order once in the ledger."""
    await desk.fault("drop_after_accept", after=1)
    batch = await desk.batch([order(), order(), order()])
    assert batch["status"] == "completed"
    assert len(await desk.ledger()) == 3


@pytest.mark.parametrize("kind", ["half_headers", "half_body", "html_200"])
async def test_an_unreadable_answer_is_a_doubt_and_the_book_decides(desk: Desk, kind: str) -> None:
    """Half an answer proves nothing, whatever its status line says."""
    await desk.fault(kind, params={"process": True})
    task = await desk.place()
    assert task["status"] == "completed"
    assert len(await desk.ledger()) == 1


async def test_a_request_that_never_arrived_is_given_up_only_after_clean_reads(desk: Desk) -> None:
    """Dropped before it was read: bytes may have left, so it is never re-sent; absence is proven by the book alone."""
    await desk.fault("drop_before_read")
    task = await desk.place(wait_s=0.5)
    assert (task["status"], task["sent"]) == ("in_doubt", "unknown")
    ended = await end_of(desk, task)
    assert (ended["status"], ended["last_error"]["code"]) == ("failed", "NOT_FOUND_AT_BROKER")
    assert (ended["attempts"], ended["sent"]) == (1, "unknown")
    assert await desk.ledger() == []


async def test_a_reset_connection_is_no_proof_of_absence(desk: Desk) -> None:
    """RST before a byte was read looks the same from here as RST after: in doubt, not retried."""
    await desk.fault("reset")
    task = await desk.place(wait_s=0.5)
    assert task["status"] in {"in_doubt", "failed"}
    ended = await end_of(desk, task)
    assert ended["attempts"] == 1
    assert await desk.ledger() == []


async def test_a_refused_connection_is_sent_again_when_the_broker_is_back(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Nobody listens: proven not sent, retried at most twice more, never doubled; `sent` says no in between."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async with open_desk(database_url, nowhere) as desk:
        task = await desk.place(wait_s=3.0)
        assert (task["status"], task["sent"], task["attempts"]) == ("expired", "no", 3)
        assert task["last_error"]["code"] == "BROKER_UNREACHABLE"


async def test_a_hanging_broker_gives_the_caller_an_answer_in_time(desk: Desk) -> None:
    """The caller has its present state when the wait ends; the order is found once the book can be read."""
    await desk.fault("late_visible", params={"ms": 1500})
    await desk.fault("hang", params={"ms": 20_000})
    started = asyncio.get_running_loop().time()
    task = await desk.place(wait_s=0.4)
    assert asyncio.get_running_loop().time() - started < 1.5
    assert task["status"] == "running"
    ended = await end_of(desk, task)
    assert ended["status"] == "completed"
    assert len(await desk.ledger()) == 1


async def test_a_400_that_speaks_of_a_timeout_is_a_doubt(desk: Desk) -> None:
    """'Order request timed out. Please check the order book': the order appears later and is adopted, not refused."""
    await desk.fault("timeout_400_then_placed", params={"after_ms": 1000})
    task = await desk.place(wait_s=0.5)
    assert task["status"] == "in_doubt"
    assert (await end_of(desk, task))["status"] == "completed"
    assert len(await desk.ledger()) == 1


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_5xx_is_a_doubt_whether_or_not_it_was_placed(desk: Desk, code: int, placed: bool) -> None:
    """The book decides in both cases; at most one order exists and it is the one that the task names."""
    params = {"code": code, "error_type": "NetworkException", "message": "Request failed (kitetrade-oms)."}
    await desk.fault("status", params={**params, "process": placed})
    ended = await end_of(desk, await desk.place(wait_s=0.1))
    assert ended["status"] == ("completed" if placed else "failed")
    assert [row["order_id"] for row in await desk.ledger()] == ([ended["order_id"]] if placed else [])


async def test_an_order_that_shows_late_is_adopted_when_it_shows(desk: Desk) -> None:
    """Accepted without an answer and invisible for a while: completed at that time, never a second order."""
    await desk.fault("late_visible", params={"ms": 1500})
    await desk.fault("drop_after_accept")
    task = await desk.place(wait_s=0.3)
    assert task["status"] == "in_doubt"
    assert (await end_of(desk, task))["status"] == "completed"
    assert len(await desk.ledger()) == 1


async def test_an_order_that_shows_after_we_gave_up_is_taken_back(desk: Desk) -> None:
    """Given up after the window, then it appears: announced as placed, alarmed, cancelled; still one order."""
    await desk.fault("late_visible", params={"ms": 6000})
    await desk.fault("drop_after_accept")
    task = await desk.place(wait_s=0.1)
    assert (await end_of(desk, task))["status"] == "failed"

    async def taken_back() -> bool:
        return [row["state"] for row in await desk.ledger()] == ["CANCELLED"]

    await until(taken_back, within_s=12)
    now = await desk.service.queries.task(UUID(task["task_id"]))
    assert now.status is TaskStatus.COMPLETED
    assert desk.engine.stats()["primary"].late_orders == 1


async def test_a_shrunken_book_proves_nothing(desk: Desk) -> None:
    """A read that lacks an order we know is not clean: the doubt stays a doubt as long as that lasts."""
    known = await desk.place()
    await until(lambda: _is_shown(desk, known))
    await desk.fault("shrink_book", method="GET", path="/orders", times=-1, params={"drop": 1})
    await desk.fault("drop_before_read")
    task = await desk.place(wait_s=4.5)
    assert task["status"] == "in_doubt"
    await desk.sim.delete("/_sim/faults")
    assert (await end_of(desk, task))["last_error"]["code"] == "NOT_FOUND_AT_BROKER"


async def test_a_row_without_a_tag_is_never_adopted(desk: Desk) -> None:
    """The book shows the order without our tag: named to a person as a look-alike, not adopted, not re-sent."""
    await desk.fault("tag_null", method="GET", path="/orders", times=-1)
    await desk.fault("drop_after_accept")
    task = await desk.place(wait_s=0.1)
    ended = await end_of(desk, task)
    assert (ended["status"], ended["attempts"]) == ("failed", 1)
    async with desk.database.connection() as connection:
        cursor = await connection.execute("SELECT kind, subject FROM order_alarm")
        assert ("look_alike", task["task_id"]) in await cursor.fetchall()
    assert len(await desk.ledger()) == 1


async def test_a_throttled_order_goes_again_after_a_clean_read(desk: Desk) -> None:
    """429 is turned away at the gateway: once the book is read clean it is sent once more, under a new tag digit."""
    await desk.fault("status", params={"code": 429, "error_type": "NetworkException", "message": "Too many requests"})
    task = await desk.place(wait_s=6.0)
    assert (task["status"], task["attempts"]) == ("completed", 2)
    ledger = await desk.ledger()
    assert len(ledger) == 1
    assert ledger[0]["tag"].endswith("2")


async def test_a_dead_session_holds_orders_and_says_so(desk: Desk) -> None:
    """403 TokenException: held, not failed; with a live session it goes, once."""
    await desk.sim.post("/_sim/session", json={"user_id": "SIM001", "expired": True})
    task = await desk.place(wait_s=1.0)
    assert (task["status"], task["sent"]) == ("held", "no")
    assert task["last_error"]["code"] in {"SESSION_EXPIRED", "NO_SESSION"}
    assert await desk.ledger() == []


async def test_a_cancel_without_an_answer_is_repeated_until_the_order_is_gone(desk: Desk) -> None:
    """Cancelling twice does no harm; the order ends cancelled and the task completed."""
    task = await desk.place()
    await until(lambda: _is_shown(desk, task))
    await desk.fault("drop_before_read", method="DELETE", path="/orders/regular/*")
    answer = await desk.service.cancel(task["order_id"], account_id=None, caller=Caller(principal="t"), wait_s=8.0)
    assert answer.document["status"] == "completed"
    assert [row["state"] for row in await desk.ledger()] == ["CANCELLED"]


async def test_a_crash_after_the_send_ends_with_one_order(database_url: str, simulator: RunningSimulator) -> None:
    """The process dies while the broker hangs on the answer; the next one finds the order by its tag."""
    async with open_desk(database_url, simulator.url) as desk:
        await desk.fault("late_visible", params={"ms": 1500})
        await desk.fault("hang", params={"ms": 5000})
        task = await desk.place(wait_s=0.3)
        assert task["status"] == "running"
        await desk.crash()
    async with open_desk(database_url, simulator.url) as desk:
        assert (await end_of(desk, task))["status"] == "completed"
        assert len(await desk.ledger()) == 1


async def _is_shown(desk: Desk, task: Mapping[str, Any]) -> bool:
    return bool((await desk.service.queries.order(task["order_id"]))["state"] == "open")
