"""What can happen to one order between our socket and the broker's book, and what must come of it.

Each test drives one fault of the simulator and checks its ledger: the list of what the exchange really accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from app.orders.entry.acceptance import Caller
from app.orders.state.model import TaskStatus
from chaos.proxy import open_proxy
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease, at_the_exchange, end_by_hints, end_of, now, reaches, read_again, struck
from tests.waiting import until

SHORT_WINDOW_S = 1.0

DEAD_TOKEN = {"code": 403, "error_type": "TokenException", "message": "Incorrect `api_key` or `access_token`."}


@pytest.fixture
async def brief(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    """An environment that gives an order up after a second of clean reads without it."""
    settings = replace(SHORT_SETTINGS, in_doubt_window_s=SHORT_WINDOW_S)
    async with open_order_environment(database_url, simulator.url, settings=settings) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


async def was_in_doubt(environment: OrderEnvironment) -> bool:
    """Whether an order was announced as in doubt, however short that was."""
    return "order_in_doubt" in [kind for _, kind, _ in await environment.events()]


async def test_a_lost_answer_is_found_in_the_book_by_its_tag(environment: OrderEnvironment) -> None:
    """Accepted, then the connection drops: in doubt, then completed with the broker's id; one order."""
    await environment.fault("drop_after_accept")
    task = await environment.place()
    assert (task["status"], task["sent"]) == ("completed", "yes")
    assert [row["order_id"] for row in await environment.ledger()] == [task["order_id"]]
    assert await was_in_doubt(environment)


async def test_a_batch_survives_a_lost_answer(environment: OrderEnvironment) -> None:
    """drop_after_accept in the middle of a batch: it completes, each order once in the ledger."""
    await environment.fault("drop_after_accept", after=1)
    batch = await environment.batch([order(), order(), order()])
    assert batch["status"] == "completed"
    assert len(await environment.ledger()) == 3


@pytest.mark.parametrize("kind", ["half_headers", "half_body", "html_200"])
async def test_an_unreadable_answer_is_a_doubt_and_the_book_decides(environment: OrderEnvironment, kind: str) -> None:
    """Half an answer proves nothing, whatever its status line says."""
    await environment.fault(kind, params={"process": True})
    task = await environment.place()
    assert task["status"] == "completed"
    assert len(await environment.ledger()) == 1


async def test_a_request_that_never_arrived_is_given_up_only_after_clean_reads(environment: OrderEnvironment) -> None:
    """Dropped before it was read: bytes may have left, so it is never re-sent; absence is proven by the book alone."""
    await environment.fault("drop_before_read")
    task = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.IN_DOUBT)
    assert task["sent"] == "unknown"
    ended = await end_of(environment, task)
    assert (ended["status"], ended["last_error"]["code"]) == ("failed", "NOT_FOUND_AT_BROKER")
    assert (ended["attempts"], ended["sent"]) == (1, "unknown")
    assert await environment.ledger() == []


async def test_a_reset_connection_is_no_proof_of_absence(brief: OrderEnvironment) -> None:
    """RST before a byte was read looks the same from here as RST after: in doubt, not retried."""
    await brief.fault("reset")
    ended = await end_by_hints(brief, await brief.place(wait_s=0.0))
    assert await was_in_doubt(brief)
    assert (ended["status"], ended["attempts"]) == ("failed", 1)
    assert await brief.ledger() == []


async def test_a_refused_connection_is_sent_again_when_the_broker_is_back(
    database_url: str, simulator: RunningSimulator
) -> None:
    """The port is closed: proven not sent, retried at most twice more, never doubled; `sent` says no in between."""
    async with (
        open_proxy(simulator.port) as line,
        open_order_environment(database_url, f"http://127.0.0.1:{line.port}") as environment,
    ):
        line.stop_listening()
        line.cut()
        task = await environment.place()
        assert (task["status"], task["sent"], task["attempts"]) == ("expired", "no", 3)
        assert task["last_error"]["code"] == "BROKER_UNREACHABLE"


async def test_a_hanging_broker_gives_the_caller_an_answer_in_time(environment: OrderEnvironment) -> None:
    """The caller has its present state when the wait ends; the order is found once the book can be read."""
    await environment.fault("late_visible", params={"ms": 1500})  # within the window, however late the machine is
    await environment.fault("hang", params={"ms": 20_000})
    answer = await environment.answer(wait_s=0.4)
    assert not answer.final
    assert answer.document["status"] in {"pending", "running", "in_doubt"}
    ended = await end_by_hints(environment, answer.document)
    assert ended["status"] == "completed"
    assert len(await environment.ledger()) == 1


async def test_a_400_that_speaks_of_a_timeout_is_a_doubt(environment: OrderEnvironment) -> None:
    """'Order request timed out. Please check the order book': the order appears later and is adopted, not refused."""
    await environment.fault("timeout_400_then_placed", params={"after_ms": 1000})
    assert (await environment.place())["status"] == "completed"
    assert await was_in_doubt(environment)
    assert len(await environment.ledger()) == 1


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_5xx_is_a_doubt_whether_or_not_it_was_placed(brief: OrderEnvironment, code: int, placed: bool) -> None:
    """The book decides in both cases; at most one order exists and it is the one that the task names."""
    params = {"code": code, "error_type": "NetworkException", "message": "Request failed (kitetrade-oms)."}
    await brief.fault("status", params={**params, "process": placed})
    ended = await end_by_hints(brief, await brief.place(wait_s=0.0))
    assert ended["status"] == ("completed" if placed else "failed")
    assert [row["order_id"] for row in await brief.ledger()] == ([ended["order_id"]] if placed else [])


async def test_an_order_that_shows_late_is_adopted_when_it_shows(environment: OrderEnvironment) -> None:
    """Accepted without an answer and invisible for a while: completed at that time, never a second order."""
    await environment.fault("late_visible", params={"ms": 1500})
    await environment.fault("drop_after_accept")
    assert (await environment.place())["status"] == "completed"
    assert await was_in_doubt(environment)
    assert len(await environment.ledger()) == 1


async def test_an_order_that_shows_after_we_gave_up_is_taken_back(brief: OrderEnvironment) -> None:
    """Given up after the window, then it appears: announced as placed, alarmed, cancelled; still one order."""
    await brief.fault("late_visible", params={"ms": 4000})
    await brief.fault("drop_after_accept")
    task = await brief.place(wait_s=0.0)
    assert (await end_by_hints(brief, task))["status"] == "failed"

    async def taken_back() -> bool:
        brief.orders.wakeups.on_order_hint(ACCOUNT)
        return [row["state"] for row in await brief.ledger()] == ["CANCELLED"]

    await until(taken_back)
    assert (await now(brief, task)).status is TaskStatus.COMPLETED
    assert brief.engine.read_counters()["primary"].late_orders == 1


async def test_a_leg_that_shows_after_its_batch_has_ended_changes_what_the_batch_says(brief: OrderEnvironment) -> None:
    """`rolled_back` would be a lie: cancelled late, with an alarm, and the batch needs attention."""
    await brief.fault("late_visible", params={"ms": 4000})
    await brief.fault("drop_after_accept")
    batch = await brief.batch([order(), order(tradingsymbol="SBIN", quantity=1_000_000)], wait_s=0.0)

    async def status() -> str:
        brief.orders.wakeups.on_order_hint(ACCOUNT)
        return str((await brief.service.queries.batch_now(UUID(batch["batch_id"])))[0]["status"])

    async def is_now(wanted: str) -> bool:
        return await status() == wanted

    await until(partial(is_now, "rolled_back"))
    await until(partial(is_now, "needs_attention"))

    async def taken_back() -> bool:
        brief.orders.wakeups.on_order_hint(ACCOUNT)
        return [row["state"] for row in await brief.ledger()] == ["CANCELLED"]

    await until(taken_back)
    assert [alarm.kind for alarm in await brief.orders.operators.resolutions.alarms(limit=5)] == ["late_order"]
    document, _ = await brief.service.queries.batch_now(UUID(batch["batch_id"]))
    assert "appeared at the broker after the batch had ended" in document["error"]["message"]


async def test_a_shrunken_book_proves_nothing(brief: OrderEnvironment) -> None:
    """A read that lacks an order we know is not clean: the doubt stays a doubt as long as that lasts."""
    known = await brief.place()
    await until(lambda: _is_shown(brief, known))
    await brief.fault("shrink_book", method="GET", path="/orders", times=-1, params={"drop": 1})
    await brief.fault("drop_before_read")
    task = await reaches(brief, await brief.place(wait_s=0.0), TaskStatus.IN_DOUBT)
    await asyncio.sleep(SHORT_WINDOW_S)
    await read_again(brief, 7)
    assert (await now(brief, task)).status is TaskStatus.IN_DOUBT
    await brief.sim.delete("/_sim/faults")
    assert (await end_by_hints(brief, task))["last_error"]["code"] == "NOT_FOUND_AT_BROKER"


async def test_a_row_without_a_tag_is_never_adopted(brief: OrderEnvironment) -> None:
    """The book shows the order without our tag: an alarm names it as a look-alike, it is not adopted, not re-sent."""
    await brief.fault("tag_null", method="GET", path="/orders", times=-1)
    await brief.fault("drop_after_accept")
    task = await brief.place(wait_s=0.0)
    ended = await end_by_hints(brief, task)
    assert (ended["status"], ended["attempts"]) == ("failed", 1)
    async with brief.database.connection() as connection:
        cursor = await connection.execute("SELECT kind, subject FROM order_alarm")
        assert ("look_alike", task["task_id"]) in await cursor.fetchall()
    assert len(await brief.ledger()) == 1


async def test_a_throttled_order_goes_again_after_a_clean_read(environment: OrderEnvironment) -> None:
    """429 is turned away at the gateway: once the book is read clean it is sent once more, under a new tag digit."""
    await environment.fault(
        "status", params={"code": 429, "error_type": "NetworkException", "message": "Too many requests"}
    )
    task = await environment.place()
    assert (task["status"], task["attempts"]) == ("completed", 2)
    ledger = await environment.ledger()
    assert len(ledger) == 1
    assert ledger[0]["tag"].endswith("2")


async def test_a_dead_session_holds_orders_and_says_so(environment: OrderEnvironment) -> None:
    """403 TokenException: held, not failed; with a live session it goes, once."""
    await environment.sim.post("/_sim/session", json={"user_id": "SIM001", "expired": True})
    task = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.HELD)
    assert task["sent"] == "no"
    assert task["last_error"]["code"] in {"SESSION_EXPIRED", "NO_SESSION"}
    assert await environment.ledger() == []


async def test_a_rejected_token_sends_nothing_until_the_broker_takes_it_again(environment: OrderEnvironment) -> None:
    """However long that takes: the profile is asked, never an order; then the held order goes, once."""
    await environment.sim.post("/_sim/session", json={"user_id": "SIM001", "expired": True})
    task = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.HELD)
    await environment.fault("status", method="GET", path="/user/profile", times=3, params=DEAD_TOKEN)
    await environment.sim.post("/_sim/session", json={"user_id": "SIM001", "expired": False})
    await struck(environment, "status", times=2)
    assert (await now(environment, task)).status is TaskStatus.HELD
    assert (await end_of(environment, task))["status"] == "completed"
    await struck(environment, "status", times=3)
    assert len(await environment.ledger()) == 1
    assert task["attempts"] <= 1


async def test_a_cancel_without_an_answer_is_repeated_until_the_order_is_gone(environment: OrderEnvironment) -> None:
    """Cancelling twice does no harm; the order ends cancelled and the task completed."""
    task = await environment.place()
    await until(lambda: _is_shown(environment, task))
    await environment.fault("drop_before_read", method="DELETE", path="/orders/regular/*")
    answer = await environment.service.cancel(
        task["order_id"], account_id=None, caller=Caller(principal="t"), wait_s=20.0
    )
    assert answer.document["status"] == "completed"
    assert [row["state"] for row in await environment.ledger()] == ["CANCELLED"]


async def test_a_crash_after_the_send_ends_with_one_order(database_url: str, simulator: RunningSimulator) -> None:
    """The process dies while the broker hangs on the answer; the next one finds the order by its tag."""
    settings = replace(SHORT_SETTINGS, send_timeout_s=10.0, claim_lease_s=12.0)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await environment.fault("late_visible", params={"ms": 1500})
        await environment.fault("hang", params={"ms": 20_000})
        task = await environment.place(wait_s=0.0)
        await at_the_exchange(environment, 1)
        assert (await now(environment, task)).status is TaskStatus.RUNNING
        await environment.crash()
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url) as environment:
        assert (await end_of(environment, task))["status"] == "completed"
        assert len(await environment.ledger()) == 1


async def _is_shown(environment: OrderEnvironment, task: Mapping[str, Any]) -> bool:
    return bool((await environment.service.queries.order(task["order_id"]))["state"] == "open")
