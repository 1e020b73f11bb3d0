"""The event log and the streams of the whole service, through its own doors."""

from __future__ import annotations

import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from app.db.postgres import open_database
from tests.integration.conftest import API_KEY, RunningService
from tests.integration.events.conftest import append, receive, wait_closed


async def introduce(socket: ClientConnection) -> dict[str, Any]:
    await socket.send(json.dumps({"type": "auth", "api_key": API_KEY}))
    return await receive(socket)


async def test_the_log_is_read_page_by_page(service: RunningService) -> None:
    """Oldest first; `after` or the cursor go on; the answer is what the model says."""
    database = await open_database(service.settings.database_dsn, name="test", min_size=1, max_size=1)
    await append(database, 3)
    await database.close()
    first = (await service.client.get("/events", params={"account_id": "primary", "limit": 2})).json()
    assert [event["seq"] for event in first["data"]] == [1, 2]
    assert first["data"][0]["type"] == "order_update"
    assert first["data"][0]["timestamp"].endswith("+05:30")
    for start in ({"after": 2}, {"cursor": first["next_cursor"]}, {"after": 1, "cursor": first["next_cursor"]}):
        rest = (await service.client.get("/events", params=start)).json()
        assert ([event["seq"] for event in rest["data"]], rest["next_cursor"], rest["seq"]) == ([3], None, 3)


async def test_bad_requests_for_the_log_are_refused(service: RunningService) -> None:
    """What is wrong is named; an account that does not exist is no empty log."""
    for query, status in (
        ("after=-1", 400),
        ("after=x", 400),
        ("limit=0", 400),
        ("limit=501", 400),
        ("cursor=abc", 400),
        ("account_id=missing", 404),
    ):
        answer = await service.client.get(f"/events?{query}")
        assert answer.status_code == status, query
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await service.anonymous.get("/events")).status_code == 401


async def test_the_streams_of_the_service_are_open_and_counted(service: RunningService) -> None:
    """Both doors, the statistics and the metrics agree."""
    async with (
        connect(f"{service.ws_url}/advanced/ws/orders/primary") as orders,
        connect(f"{service.ws_url}/ws/ticks") as ticks,
    ):
        greeting = await introduce(orders)
        assert (greeting["type"], greeting["account_id"]) == ("authenticated", "primary")
        assert (await receive(orders))["orders"] == []
        assert (await introduce(ticks))["type"] == "authenticated"
        stats = (await service.client.get("/advanced/ws/stats")).json()
        assert stats["orders"] == [{"account_id": "primary", "connections": 1}]
        assert stats["ticks"] == {"connections": 1}
        assert set(stats["dropped"].values()) == {0}
        metrics = (await service.anonymous.get("/metrics")).text
        assert 'ticker_ws_connections{stream="orders"} 1.0' in metrics
        assert 'ticker_ws_connections{stream="ticks"} 1.0' in metrics


async def test_an_account_that_does_not_exist_has_no_stream(service: RunningService) -> None:
    """Also for a key that may use every account."""
    async with connect(f"{service.ws_url}/advanced/ws/orders/missing") as socket:
        await socket.send(json.dumps({"type": "auth", "api_key": API_KEY}))
        assert await wait_closed(socket) == (1008, "forbidden_account")


async def test_events_that_are_not_kept_any_more_are_called_gone(service: RunningService) -> None:
    """Never a page that silently begins later; the start is the oldest event that is kept."""
    database = await open_database(service.settings.database_dsn, name="test", min_size=1, max_size=1)
    await append(database, 5)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM event WHERE seq <= 3")
    await database.close()
    page = (await service.client.get("/events")).json()
    assert ([event["seq"] for event in page["data"]], page["oldest"]) == ([4, 5], 4)
    assert (await service.client.get("/events", params={"after": 3})).json()["data"] == page["data"]
    for query in ({"after": 2}, {"cursor": "2"}):
        gone = await service.client.get("/events", params=query)
        assert (gone.status_code, gone.json()["code"]) == (410, "EVENTS_DROPPED")
