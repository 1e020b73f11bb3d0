"""What a client asks for again, and what it does not want late."""

from __future__ import annotations

import pytest

from app.errors import Gone, NotFound
from app.webhooks.model import DeliveryStatus, EndpointStatus
from tests.integration.webhooks.conftest import Environment
from tests.integration.webhooks.receiver import answer


async def test_one_delivery_is_repeated_under_its_id(hooks: Environment) -> None:
    """With the header that says so, whatever came of it before."""
    made = await hooks.register()
    webhook_id = made.webhook.webhook_id
    await hooks.append("order_updated", times=2)
    async with hooks.delivering():
        await hooks.settled(webhook_id, delivered=2)
        (_, first) = await hooks.service.deliveries(webhook_id, status=None, before=None, limit=2)
        assert (await hooks.service.replay_one(webhook_id, first.delivery_id)).due == 1
        requests = await hooks.received("/hook", 3)
        await hooks.settled(webhook_id, delivered=2)
    again = requests[2]
    (before,) = [one for one in requests[:2] if one.message["seq"] == first.seq]
    assert again.headers["webhook-id"] == before.headers["webhook-id"]
    assert (again.headers["webhook-replay"], again.body) == ("1", before.body)
    other = await hooks.register("/other")
    with pytest.raises(NotFound):
        await hooks.service.replay_one(other.webhook.webhook_id, first.delivery_id)


async def test_a_range_is_replayed_also_from_before_the_registration(hooks: Environment) -> None:
    """What the endpoint wants of it; the ids of what was delivered before stay."""
    await hooks.append("order_placed", "order_completed", times=2)  # 1 to 4
    made = await hooks.register(events=["order_completed"])
    webhook_id = made.webhook.webhook_id
    await hooks.append("order_completed", times=2)  # 5 and 6
    async with hooks.delivering():
        await hooks.settled(webhook_id, delivered=2)
        done = await hooks.service.replay_events(webhook_id, first=2, last=5)
        assert (done.due, done.continue_from) == (3, None)
        await hooks.settled(webhook_id, delivered=4)
    requests = hooks.receiver.at("/hook")
    assert sorted(one.message["seq"] for one in requests) == [2, 4, 5, 5, 6]
    fives = [one.headers["webhook-id"] for one in requests if one.message["seq"] == 5]
    assert fives[0] == fives[1]


async def test_a_long_replay_says_where_to_go_on(hooks: Environment) -> None:
    """Five thousand events a request."""
    await hooks.append("order_updated")
    await hooks.sql(
        "INSERT INTO event (account_id, seq, type, data) SELECT 'primary', n, 'order_updated', '{}'"
        " FROM generate_series(2, 5010) n"
    )
    webhook_id = (await hooks.register()).webhook.webhook_id
    done = await hooks.service.replay_events(webhook_id, first=1, last=10**18)
    assert (done.due, done.continue_from) == (5000, 5001)
    rest = await hooks.service.replay_events(webhook_id, first=5001, last=10**18)
    assert (rest.due, rest.continue_from) == (10, None)
    again = await hooks.service.replay_events(webhook_id, first=1, last=10)
    assert again.due == 0  # they wait already


async def test_old_news_are_replaced_by_one_gap_and_ends_never(hooks: Environment) -> None:
    """The gap names the range, and a replay of it brings the news after all."""
    made = await hooks.register(max_age_s=60.0)
    webhook_id = made.webhook.webhook_id
    kinds = ("order_placed", "order_updated", "order_completed", "order_in_doubt", "batch_rolled_back", "order_updated")
    await hooks.append(*kinds)
    await hooks.sql("UPDATE webhook_delivery SET created_at = now() - interval '2 minutes'")
    await hooks.append("order_updated")  # young
    await hooks.housekeeping.clean()
    await hooks.housekeeping.clean()
    async with hooks.delivering():
        await hooks.settled(webhook_id, delivered=5, given_up=3)
        requests = list(hooks.receiver.at("/hook"))
        gaps = [one.message for one in requests if one.message["type"] == "events_gap"]
        assert [(one["seq"], one["data"]) for one in gaps] == [(6, {"from": 1, "to": 6})]
        types = sorted(one.message["type"] for one in requests)
        assert types == ["batch_rolled_back", "events_gap", "order_completed", "order_in_doubt", "order_updated"]
        await hooks.service.replay_events(webhook_id, first=1, last=6)
        await hooks.settled(webhook_id, delivered=8)
    assert sorted(one.message["seq"] for one in hooks.receiver.at("/hook")[5:]) == [1, 2, 3, 4, 5, 6]


async def test_without_a_bound_old_news_are_delivered(hooks: Environment) -> None:
    """The default."""
    made = await hooks.register()
    await hooks.append("order_updated", times=3)
    await hooks.sql("UPDATE webhook_delivery SET created_at = now() - interval '1 day'")
    await hooks.housekeeping.clean()
    async with hooks.delivering():
        await hooks.settled(made.webhook.webhook_id, delivered=3)


async def test_a_test_event_is_sent_at_once_and_never_repeated(hooks: Environment) -> None:
    """Also to a paused endpoint; the answer has what came of it."""
    made = await hooks.register()
    await hooks.sql("UPDATE webhook SET status = 'paused'")
    sent = await hooks.service.test(made.webhook.webhook_id)
    assert (sent.status, sent.type, sent.attempts[0]["http_status"]) == (DeliveryStatus.DELIVERED, "test", 200)
    hooks.receiver.behaviour = answer(500)
    failed = await hooks.service.test(made.webhook.webhook_id)
    assert (failed.status, failed.attempts[0]["http_status"]) == (DeliveryStatus.GIVEN_UP, 500)
    messages = [one.message for one in hooks.receiver.at("/hook")]
    assert [one["type"] for one in messages] == ["test", "test"]


async def test_entries_end_after_a_week(hooks: Environment) -> None:
    """Delivered or given up; those that are due stay."""
    made = await hooks.register()
    await hooks.append("order_updated", times=3)
    await hooks.sql(
        "UPDATE webhook_delivery SET status = CASE seq WHEN 1 THEN 'delivered' ELSE 'given_up' END WHERE seq < 3"
    )
    await hooks.sql("UPDATE webhook_delivery SET created_at = now() - interval '8 days' WHERE seq < 3")
    await hooks.housekeeping.clean()
    assert [seq for seq, _ in await hooks.statuses(made.webhook.webhook_id)] == [3]
    assert hooks.housekeeping.backlog() == {(): 1}


async def test_the_log_is_read_in_pages(hooks: Environment) -> None:
    """The newest events first, by status where that is asked for."""
    made = await hooks.register()
    webhook_id = made.webhook.webhook_id
    await hooks.append("order_updated", times=5)
    first = await hooks.service.deliveries(webhook_id, status=None, before=None, limit=2)
    before = (first[-1].seq, first[-1].delivery_id)
    second = await hooks.service.deliveries(webhook_id, status=None, before=before, limit=10)
    assert [one.seq for one in [*first, *second]] == [5, 4, 3, 2, 1]
    assert await hooks.service.deliveries(webhook_id, status=DeliveryStatus.FAILED, before=None, limit=9) == []
    waiting = await hooks.service.deliveries(webhook_id, status=DeliveryStatus.PENDING, before=None, limit=9)
    assert len(waiting) == 5


async def test_what_is_due_at_a_paused_endpoint_is_kept_until_it_was_paused_for_too_long(hooks: Environment) -> None:
    """The log of deliveries goes back a week, but for what is due; after thirty days the endpoint is disabled."""
    made = await hooks.register()
    await hooks.append("order_updated", "order_completed")
    webhook_id = made.webhook.webhook_id
    await hooks.sql("UPDATE webhook_delivery SET status = 'delivered' WHERE seq = 1")
    await hooks.service.change(webhook_id, {}, status=EndpointStatus.PAUSED)
    await hooks.sql("UPDATE webhook_delivery SET created_at = now() - interval '29 days'")
    await hooks.housekeeping.clean()
    assert await hooks.statuses(webhook_id) == [(2, "pending")]
    await hooks.sql("UPDATE webhook_delivery SET created_at = now() - interval '31 days'")
    await hooks.housekeeping.clean()
    assert (await hooks.service.get(webhook_id)).status is EndpointStatus.DISABLED
    assert await hooks.statuses(webhook_id) == []


async def test_a_replay_that_would_not_be_whole_is_refused(hooks: Environment) -> None:
    """The beginning of its range was dropped from the log; from there on it is whole."""
    await hooks.append("order_updated", times=4)
    made = await hooks.register()
    await hooks.sql("DELETE FROM event WHERE seq <= 2")
    await hooks.sql(
        "INSERT INTO event_dropped (account_id, seq, occurred_at, signature) VALUES ('primary', 2, now(), '')"
    )
    with pytest.raises(Gone, match="from 3 on"):
        await hooks.service.replay_events(made.webhook.webhook_id, first=2, last=4)
    assert (await hooks.service.replay_events(made.webhook.webhook_id, first=3, last=4)).due == 2
