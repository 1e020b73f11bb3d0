"""Each event to each endpoint that wants it, at least once: filters, signatures, retries, order, several processes."""

from __future__ import annotations

import asyncio
import signal
import sys
from decimal import Decimal
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.events import event_append_store
from app.events.model import NewEvent
from app.webhooks.claim_store import SLOTS
from app.webhooks.model import EndpointStatus
from tests.integration.webhooks.conftest import ACCOUNT, Environment
from tests.integration.webhooks.receiver import answer, hang
from tests.waiting import until


async def test_an_event_arrives_signed_and_complete(hooks: Environment) -> None:
    """The body of the contract with exact numbers, verified by the official library of Standard Webhooks."""
    made = await hooks.register()
    await hooks.append("order_completed", data={"order_id": "1", "price": Decimal("1512.35"), "tag": None})
    async with hooks.delivering():
        (request,) = await hooks.received("/hook", 1)
        await hooks.settled(made.webhook.webhook_id, delivered=1)
    message = Webhook(made.secret).verify(request.body, request.headers)
    assert {name: message[name] for name in ("type", "account_id", "seq")} == {
        "type": "order_completed",
        "account_id": ACCOUNT,
        "seq": 1,
    }
    assert b'"price":1512.35' in request.body.replace(b" ", b"")
    assert message["timestamp"].endswith("+05:30")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"].startswith("msg_")
    assert "." not in request.headers["webhook-id"]
    assert "webhook-replay" not in request.headers


async def test_an_endpoint_gets_the_types_and_tags_that_it_wants(hooks: Environment) -> None:
    """Of its own account alone. Events that are not about one order have no tag, and pass."""
    everything = (await hooks.register("/all")).webhook.webhook_id
    ends = (await hooks.register("/ends", events=["order_completed", "order_failed"])).webhook.webhook_id
    tagged = (await hooks.register("/tagged", tags=["a", "b"])).webhook.webhook_id
    other = (await hooks.register("/other", account_id="second")).webhook.webhook_id
    await hooks.append("order_placed", data={"tag": "a"})
    await hooks.append("order_completed", data={"tag": "c"})
    await hooks.append("order_failed", data={"tag": None})
    await hooks.append("batch_completed", data={"batch_id": "1"})
    assert [seq for seq, _ in await hooks.statuses(everything)] == [1, 2, 3, 4]
    assert [seq for seq, _ in await hooks.statuses(ends)] == [2, 3]
    assert [seq for seq, _ in await hooks.statuses(tagged)] == [1, 4]
    assert await hooks.statuses(other) == []


async def test_deliveries_are_written_with_their_event_or_not_at_all(hooks: Environment) -> None:
    """In one transaction; an account without endpoints, and a disabled endpoint, have none."""
    made = await hooks.register()
    async with hooks.database.connection() as connection, connection.transaction(force_rollback=True):
        await event_append_store.lock(connection, ACCOUNT, epoch="first")
        await event_append_store.append(connection, ACCOUNT, [NewEvent(type="order_placed", data={})] * 3)
    assert await hooks.statuses(made.webhook.webhook_id) == []
    await hooks.append("order_placed", account_id="second")
    await hooks.sql("UPDATE webhook SET status = 'disabled'")
    await hooks.append("order_placed", times=3)
    assert await hooks.sql("SELECT count(*) FROM webhook_delivery") == [(0,)]


async def test_a_failed_delivery_is_tried_again_under_the_same_id(hooks: Environment) -> None:
    """Other ids for other events; each attempt is in the log, with status, time, address and the answer's beginning."""
    made = await hooks.register()
    hooks.receiver.behaviour = answer(500, body=b"out of \x00 order")
    await hooks.append("order_placed")
    async with hooks.delivering():
        await hooks.settled(made.webhook.webhook_id, failed=1)
        hooks.receiver.behaviour = answer(204)
        await hooks.make_due()
        await hooks.settled(made.webhook.webhook_id, delivered=1)
        await hooks.append("order_updated")
        requests = await hooks.received("/hook", 3)
    ids = [one.headers["webhook-id"] for one in requests]
    assert ids[0] == ids[1] != ids[2]
    assert requests[0].body == requests[1].body
    (_, first) = await hooks.service.deliveries(made.webhook.webhook_id, status=None, before=None, limit=10)
    assert [(one["http_status"], one["address"], one["error"]) for one in first.attempts] == [
        (500, "127.0.0.1", "http_status"),
        (204, "127.0.0.1", None),
    ]
    assert first.attempts[0]["body"] == "out of \ufffd order"
    assert first.attempts[0]["at"].endswith("+05:30")
    assert (await hooks.service.get(made.webhook.webhook_id)).failures == 0


async def test_a_delivery_waits_for_its_delay(hooks: Environment) -> None:
    """Five seconds after the first failure; a minute after a 429."""
    await hooks.register("/failing")
    await hooks.register("/busy")
    hooks.receiver.by_path = {"/failing": answer(500), "/busy": answer(429)}
    await hooks.append("order_placed")
    async with hooks.delivering():
        await hooks.received("/failing", 1)
        await hooks.received("/busy", 1)

        async def stored() -> bool:
            rows = await hooks.sql("SELECT count(*) FROM webhook_delivery WHERE failures = 1")
            return rows == [(1 + 1,)]

        await until(stored)
        rows = await hooks.sql(
            "SELECT extract(epoch FROM due_at - now())::float8 FROM webhook_delivery ORDER BY due_at"
        )
    assert 3.0 < rows[0][0] <= 5.0
    assert 58.0 < rows[1][0] <= 60.0


async def test_an_endpoint_with_fifty_thousand_deliveries_delays_no_other(hooks: Environment) -> None:
    """It hangs, and is asked for a few at a time; the others get their events at once."""
    slow = await hooks.register("/slow", account_id="second")
    await hooks.register("/good")
    hooks.receiver.by_path["/slow"] = hang
    for first in range(1, 50_000, 5_000):  # each statement well within its timeout, on a busy machine too
        await hooks.sql(
            "INSERT INTO webhook_delivery (webhook_id, account_id, seq, type, data, due_at, created_at)"
            " SELECT %s, 'second', n, 'order_placed', '{}', now() - interval '1 hour', now()"
            " FROM generate_series(%s::int, %s::int) n",
            slow.webhook.webhook_id,
            first,
            first + 4_999,
        )
    async with hooks.delivering():
        await hooks.received("/slow", SLOTS)
        for count in (10, 20, 30):
            await hooks.append("order_placed", times=10)
            async with asyncio.timeout(10):
                await hooks.received("/good", count)
    assert len(hooks.receiver.at("/slow")) == SLOTS


async def test_an_endpoint_that_keeps_failing_rests(hooks: Environment) -> None:
    """After five failures nothing is sent for a while, then one delivery is tried, and all follow when it succeeds."""
    made = await hooks.register()
    hooks.receiver.behaviour = answer(500)
    await hooks.append("order_placed", times=20)
    async with hooks.delivering():
        await hooks.received("/hook", 5)

        async def resting() -> bool:
            rows = await hooks.sql("SELECT retry_at > now() FROM webhook")
            return rows == [(True,)]

        await until(resting)
        seen = len(hooks.receiver.at("/hook"))
        assert seen <= 5 + SLOTS
        await asyncio.sleep(0.6)
        assert len(hooks.receiver.at("/hook")) == seen
        await hooks.sql("UPDATE webhook SET retry_at = now()")
        await hooks.received("/hook", seen + 1)
        await until(resting)
        assert len(hooks.receiver.at("/hook")) == seen + 1
        hooks.receiver.behaviour = answer(200)
        await hooks.make_due()
        await hooks.settled(made.webhook.webhook_id, delivered=20)


async def test_several_processes_share_the_work_and_repeat_nothing(hooks: Environment) -> None:
    """While none of them dies, each event arrives once at each endpoint."""
    made = [await hooks.register(f"/{n}") for n in range(3)]
    await hooks.append("order_updated", times=60)
    async with hooks.delivering(3) as loops:
        for one in made:
            await hooks.settled(one.webhook.webhook_id, delivered=60)
    for n in range(3):
        assert sorted(one.message["seq"] for one in hooks.receiver.at(f"/{n}")) == list(range(1, 61))
    assert sum(loop.counts["delivered"] for loop in loops) == 180


async def test_an_ordered_endpoint_gets_its_events_in_the_order_of_the_log(hooks: Environment) -> None:
    """With several processes, one at a time; a failure holds back those after it."""
    made = await hooks.register(ordered=True)
    await hooks.append("order_updated", times=12)
    async with hooks.delivering(3):
        await hooks.settled(made.webhook.webhook_id, delivered=12)
        assert [one.message["seq"] for one in hooks.receiver.at("/hook")] == list(range(1, 13))
        hooks.receiver.behaviour = answer(503)
        await hooks.append("order_updated", times=3)
        await hooks.settled(made.webhook.webhook_id, delivered=12, failed=1, pending=2)
        await asyncio.sleep(0.6)
        hooks.receiver.behaviour = answer(200)
        await hooks.make_due()
        await hooks.settled(made.webhook.webhook_id, delivered=15)
    assert [one.message["seq"] for one in hooks.receiver.at("/hook")] == [*range(1, 14), 13, 14, 15]


async def test_an_ordered_endpoint_is_paused_by_a_delivery_that_keeps_failing(hooks: Environment) -> None:
    """After a quarter of an hour; nothing is lost, and it goes on where it stopped."""
    made = await hooks.register(ordered=True)
    webhook_id = made.webhook.webhook_id
    hooks.receiver.behaviour = answer(500)
    await hooks.sql("UPDATE webhook SET failures = 1, failing_since = now() - interval '16 minutes'")
    await hooks.append("order_updated", times=2)

    async def paused() -> bool:
        return (await hooks.service.get(webhook_id)).status == "paused"

    async with hooks.delivering():
        await until(paused)
        hooks.receiver.behaviour = answer(200)
        await hooks.make_due()
        await hooks.append("order_updated")
        await asyncio.sleep(0.6)
        assert len(hooks.receiver.at("/hook")) == 1
        await hooks.service.change(webhook_id, {}, status=EndpointStatus.ACTIVE)
        await hooks.settled(webhook_id, delivered=3)
    assert [one.message["seq"] for one in hooks.receiver.at("/hook")] == [1, 1, 2, 3]


@pytest.mark.parametrize(("status", "since", "failures"), [(410, "1 second", 1), (500, "6 days", 30)])
async def test_a_dead_endpoint_is_disabled(hooks: Environment, status: int, since: str, failures: int) -> None:
    """By its own word, or after days of failures; what is due there is given up, other endpoints go on."""
    made = await hooks.register()
    await hooks.register("/good")
    hooks.receiver.by_path["/hook"] = answer(status)
    await hooks.sql(
        "UPDATE webhook SET failures = %s, failing_since = now() - %s::interval WHERE url LIKE '%%/hook'",
        failures,
        since,
    )
    await hooks.append("order_updated", times=3)

    async def disabled() -> bool:
        return (await hooks.service.get(made.webhook.webhook_id)).status == "disabled"

    async with hooks.delivering():
        await until(disabled)
        await hooks.received("/good", 3)
    await hooks.housekeeping.clean()
    found = await hooks.statuses(made.webhook.webhook_id)
    assert {one for _, one in found} == {"given_up"}
    assert hooks.housekeeping.backlog() == {(): 0}


async def test_both_secrets_sign_for_a_day_after_a_rotation(hooks: Environment) -> None:
    """Then the new one alone."""
    made = await hooks.register()
    await hooks.sql("UPDATE webhook SET secret = secret")
    fresh = await hooks.service.rotate_secret(made.webhook.webhook_id)
    async with hooks.delivering():
        await hooks.append("order_updated")
        (during,) = await hooks.received("/hook", 1)
        await hooks.sql("UPDATE webhook SET old_secret_until = now() - interval '1 second'")
        await hooks.append("order_updated")
        after = (await hooks.received("/hook", 2))[1]
    assert Webhook(made.secret).verify(during.body, during.headers)
    assert Webhook(fresh).verify(during.body, during.headers)
    assert len(during.headers["webhook-signature"].split(" ")) == 2
    assert len(after.headers["webhook-signature"].split(" ")) == 1
    (until_at,) = await hooks.sql("SELECT old_secret_until < now() + interval '24 hours 1 minute' FROM webhook")
    assert until_at == (True,)


async def test_no_secret_is_stored_in_the_clear(hooks: Environment) -> None:
    """Neither as text nor as its bytes."""
    made = await hooks.register()
    ((row,),) = await hooks.sql("SELECT row_to_json(webhook)::text FROM webhook")
    assert made.secret not in row
    assert bytes(range(32)).hex() not in row


async def test_a_request_that_cannot_be_signed_is_not_sent(hooks: Environment) -> None:
    """The secret was sealed with another TOKEN_KEY: the delivery fails and says so."""
    made = await hooks.register()
    await hooks.sql("UPDATE webhook SET secret = '\\x00'")
    await hooks.append("order_updated")
    async with hooks.delivering():
        await hooks.settled(made.webhook.webhook_id, failed=1)
    (found,) = await hooks.service.deliveries(made.webhook.webhook_id, status=None, before=None, limit=1)
    assert (found.attempts[0]["error"], hooks.receiver.at("/hook")) == ("secret_unreadable", [])


async def test_after_a_kill_what_was_in_flight_is_delivered_again_under_its_id(hooks: Environment) -> None:
    """kill -9 of a process with requests under way: another one repeats these, and delivers the rest once."""
    made = await hooks.register()
    await hooks.append("order_updated", times=10)
    hooks.receiver.behaviour = hang
    command = (sys.executable, "-m", "tests.integration.webhooks.deliver", hooks.database_url)
    process = await asyncio.create_subprocess_exec(*command)
    await hooks.received("/hook", SLOTS)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    hooks.receiver.behaviour = answer(200)
    async with hooks.delivering():
        await hooks.received("/hook", 10)  # the six that nobody had taken need not wait for the claims
        await hooks.make_due()
        await hooks.settled(made.webhook.webhook_id, delivered=10)
    requests = hooks.receiver.at("/hook")
    by_id: dict[str, list[int]] = {}
    for one in requests:
        by_id.setdefault(one.headers["webhook-id"], []).append(one.message["seq"])
    assert len(by_id) == 10
    assert all(len(set(seqs)) == 1 for seqs in by_id.values())
    assert sorted(len(seqs) for seqs in by_id.values()) == [1] * 6 + [2] * SLOTS


async def test_a_process_that_stops_lets_others_go_on_at_once(hooks: Environment) -> None:
    """What it does not finish in time is due again immediately."""
    made = await hooks.register()
    await hooks.append("order_updated", times=2)
    hooks.receiver.behaviour = hang
    async with hooks.delivering() as (loop,):
        await hooks.received("/hook", 2)
        await loop.drain(timeout_s=0.1)
    hooks.receiver.behaviour = answer(200)
    async with hooks.delivering():
        await hooks.settled(made.webhook.webhook_id, delivered=2)


async def test_the_answer_of_a_claim_that_ran_out_changes_nothing(hooks: Environment) -> None:
    """Another process has it by then."""
    made = await hooks.register()
    await hooks.append("order_updated")
    release = asyncio.Event()

    async def late(writer: Any) -> None:
        await release.wait()
        await answer(500)(writer)

    hooks.receiver.behaviour = late
    async with hooks.delivering() as (loop,):
        await hooks.received("/hook", 1)
        await hooks.sql("UPDATE webhook_delivery SET fence = fence + 1")
        release.set()

        async def over() -> bool:
            return loop.counts["failed"] == 1

        await until(over)
        await asyncio.sleep(0.2)
    assert await hooks.statuses(made.webhook.webhook_id) == [(1, "pending")]
