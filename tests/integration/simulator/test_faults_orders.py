"""Faults of orders, of the order book and of pushes, as a client sees them."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from simulator.server import RunningSimulator
from tests.integration.simulator.order_forms import ledger, order_form, place
from tests.waiting import until


async def set_fault(client: httpx.AsyncClient, kind: str, **spec: object) -> None:
    answer = await client.post("/_sim/faults", json={"kind": kind, **spec})
    assert answer.status_code == 200, answer.text


async def book(client: httpx.AsyncClient) -> list[dict[str, object]]:
    rows = (await client.get("/orders")).json()["data"]
    assert isinstance(rows, list)
    return rows


@asynccontextmanager
async def ticker(simulator: RunningSimulator, suffix: str = "") -> AsyncIterator[ClientConnection]:
    """An open socket; the first heartbeat proves that it is registered."""
    url = f"{simulator.ws_url}/?api_key=simkey{suffix}&access_token=simtoken{suffix}"
    async with connect(url, compression=None, ping_interval=None) as socket:
        yield socket


async def updates(socket: ClientConnection, count: int, *, within: float = 2.0) -> list[dict[str, object]]:
    """The next order updates, at most `count`, that come in time."""
    found: list[dict[str, object]] = []
    with suppress(TimeoutError):  # the callers judge what has come
        async with asyncio.timeout(within):
            while len(found) < count:
                frame = await socket.recv()
                if isinstance(frame, str):
                    found.append(json.loads(frame)["data"])
    return found


async def shows(client: httpx.AsyncClient, name: str, value: str) -> bool:
    """Whether the book has one order, with this value in the field."""
    return [row[name] for row in await book(client)] == [value]


async def test_a_late_order_is_accepted_and_shows_afterwards(client: httpx.AsyncClient) -> None:
    """200 with an id, then an empty book, then the order; the ledger has it from the start."""
    await set_fault(client, "late_visible", method="POST", path="/orders/*", params={"ms": 2_000})
    order_id = await place(client)
    assert await book(client) == []
    assert (await client.get(f"/orders/{order_id}")).status_code == 400
    assert len(await ledger(client)) == 1
    await until(lambda: shows(client, "order_id", order_id))


async def test_a_lost_tag_is_nowhere_but_in_the_ledger(client: httpx.AsyncClient) -> None:
    """It is null in the book and in the history."""
    await set_fault(client, "tag_null", method="POST", path="/orders/*")
    order_id = await place(client, tag="MINE")
    history = (await client.get(f"/orders/{order_id}")).json()["data"]
    assert {row["tag"] for row in [*await book(client), *history]} == {None}
    assert "tags" not in history[0]
    assert [entry["tag"] for entry in await ledger(client)] == ["MINE"]


async def test_a_tag_may_be_missing_in_one_answer_only(client: httpx.AsyncClient) -> None:
    """The fault is for the read."""
    await place(client, tag="MINE")
    await set_fault(client, "tag_null", method="GET", path="/orders")
    assert [[row["tag"] for row in await book(client)] for _ in range(2)] == [[None], ["MINE"]]


async def test_a_stale_book_is_that_of_an_earlier_moment(client: httpx.AsyncClient) -> None:
    """A new order is not in it."""
    await place(client)
    await set_fault(client, "stale_book", method="GET", path="/orders", params={"ms": 60_000})
    assert await book(client) == []
    assert len(await book(client)) == 1


async def test_a_shrunken_book_lacks_its_newest_rows(client: httpx.AsyncClient) -> None:
    """As many as the fault says."""
    ids = [await place(client) for _ in range(3)]
    await set_fault(client, "shrink_book", method="GET", path="/orders", params={"drop": 2})
    assert [row["order_id"] for row in await book(client)] == ids[:1]


async def test_a_shrunken_trade_book_lacks_its_newest_fills(client: httpx.AsyncClient) -> None:
    """As many as the fault says, once; the order book always has the filled quantity."""
    ids = [await place(client) for _ in range(3)]
    await set_fault(client, "shrink_trades", method="GET", path="/trades", params={"drop": 2})
    shown = [[row["order_id"] for row in (await client.get("/trades")).json()["data"]] for _ in range(2)]
    assert shown == [ids[:1], ids]
    assert [row["status"] for row in await book(client)] == ["COMPLETE"] * 3


async def test_a_stuck_order_waits_in_its_status(client: httpx.AsyncClient) -> None:
    """It goes on when the time of the fault is over."""
    params = {"status": "PUT ORDER REQ RECEIVED", "ms": 2_000}
    await set_fault(client, "stuck", method="POST", path="/orders/*", params=params)
    await place(client)
    assert [row["status"] for row in await book(client)] == ["PUT ORDER REQ RECEIVED"]
    await until(lambda: shows(client, "status", "COMPLETE"))


async def test_a_rejected_order_was_accepted_first(client: httpx.AsyncClient) -> None:
    """The client gets 200 and an id; the reason is in the book."""
    await set_fault(client, "reject", method="POST", path="/orders/*", params={"message": "RMS: no"})
    await place(client)
    assert [(row["status"], row["status_message"]) for row in await book(client)] == [("REJECTED", "RMS: no")]


async def test_a_refused_modification_leaves_the_order_as_it_was(client: httpx.AsyncClient) -> None:
    """The client gets 200; status_message has the reason."""
    order_id = await place(client, price=1490)
    await set_fault(client, "reject", method="PUT", path="/orders/*", params={"message": "cannot be modified"})
    assert (await client.put(f"/orders/regular/{order_id}", data={"price": 1480})).status_code == 200
    [row] = await book(client)
    assert (row["status"], row["price"], row["status_message"]) == ("OPEN", 1490, "cannot be modified")


async def test_a_partial_fill_leaves_the_rest_open(client: httpx.AsyncClient) -> None:
    """The filled quantity is that of the fault."""
    await set_fault(client, "partial_fill", method="POST", path="/orders/*", params={"quantity": 4})
    await place(client)
    assert [(row["status"], row["filled_quantity"]) for row in await book(client)] == [("OPEN", 4)]


async def test_a_cancel_may_lose_the_race_against_a_fill(client: httpx.AsyncClient) -> None:
    """The cancel is accepted, the order ends COMPLETE."""
    order_id = await place(client, price=1490)
    await set_fault(client, "cancel_fill_race", method="DELETE", path="/orders/*")
    assert (await client.delete(f"/orders/regular/{order_id}")).status_code == 200
    assert [row["status"] for row in await book(client)] == ["COMPLETE"]


async def test_order_updates_reach_every_socket_of_the_user(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """The payload has Kite's 34 keys and a checksum with the secret; other users get nothing."""
    async with ticker(simulator) as one, ticker(simulator) as two, ticker(simulator, "2") as stranger:
        await place(client, tag="HELLO")
        [first], [second] = await updates(one, 1), await updates(two, 1)
        assert await updates(stranger, 1, within=0.2) == []
    assert first == second
    assert len(first) == 34
    assert (first["status"], first["tag"], first["unfilled_quantity"]) == ("COMPLETE", "HELLO", 0)
    text = f"{first['order_id']}{first['order_timestamp']}simsecret"
    assert first["checksum"] == hashlib.sha256(text.encode()).hexdigest()


async def test_updates_may_be_lost_doubled_or_out_of_order(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """OPEN is lost and CANCELLED comes twice; then OPEN comes after CANCELLED."""
    async with ticker(simulator) as socket:
        await set_fault(client, "drop_update", params={"status": "OPEN"})
        await set_fault(client, "duplicate_update", params={"status": "CANCELLED"})
        order_id = await place(client, price=1490)
        await client.delete(f"/orders/regular/{order_id}")
        assert [update["status"] for update in await updates(socket, 2)] == ["CANCELLED", "CANCELLED"]
        await set_fault(client, "reorder_update", params={"status": "OPEN"})
        order_id = await place(client, price=1490)
        await client.delete(f"/orders/regular/{order_id}")
        assert [update["status"] for update in await updates(socket, 2)] == ["CANCELLED", "OPEN"]


async def test_a_delayed_update_comes_when_its_time_is_over(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """Also when no other update comes."""
    async with ticker(simulator) as socket:
        await set_fault(client, "reorder_update", params={"ms": 150})
        await place(client)
        assert await updates(socket, 1, within=0.05) == []
        assert [update["status"] for update in await updates(socket, 1)] == ["COMPLETE"]


@asynccontextmanager
async def postback_listener() -> AsyncIterator[tuple[str, "asyncio.Queue[dict[str, object]]"]]:
    """A small HTTP server that records the JSON bodies posted to it."""
    received: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        received.put_nowait(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/postback", received
    finally:
        server.close()


async def test_ends_and_changes_of_orders_are_posted_back(client: httpx.AsyncClient) -> None:
    """The URL gets the same payload as the socket; a placement is not posted."""
    async with postback_listener() as (url, received):
        await client.post("/_sim/session", json={"user_id": "SIM001", "postback_url": url})
        order_id = await place(client, price=1490)
        await client.put(f"/orders/regular/{order_id}", data={"price": 1480})
        await client.delete(f"/orders/regular/{order_id}")
        async with asyncio.timeout(20):
            payloads = [await received.get() for _ in range(2)]
        assert [payload["status"] for payload in payloads] == ["UPDATE", "CANCELLED"]
        assert all(len(payload) == 34 for payload in payloads)
        assert received.empty()


async def test_a_postback_may_be_lost_while_the_socket_has_it(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """A fault may be for one channel only."""
    async with postback_listener() as (url, received), ticker(simulator) as socket:
        await client.post("/_sim/session", json={"user_id": "SIM001", "postback_url": url})
        await set_fault(client, "drop_update", params={"channel": "postback"})
        await place(client)
        assert [update["status"] for update in await updates(socket, 1)] == ["COMPLETE"]
        await place(client)
        async with asyncio.timeout(20):
            await received.get()
        assert received.empty()


@pytest.mark.parametrize(
    ("action", "status", "filled"),
    [
        ({"fill": 10}, "COMPLETE", 10),
        ({"fill": 3}, "OPEN", 3),
        ({"reject": "no"}, "REJECTED", 0),
        ({"cancel": True}, "CANCELLED", 0),
    ],
)
async def test_the_exchange_acts_on_command(
    client: httpx.AsyncClient, action: dict[str, object], status: str, filled: int
) -> None:
    """A fill, rejection or cancel is in the book immediately."""
    order_id = await place(client, price=1490)
    assert (await client.post(f"/_sim/orders/{order_id}", json=action)).status_code == 200
    assert [(row["status"], row["filled_quantity"]) for row in await book(client)] == [(status, filled)]


@pytest.mark.parametrize(
    "action", [{}, {"fill": 1, "cancel": True}, {"fill": "all"}, {"fill": 11}, {"cancel": False}, {"burn": 1}]
)
async def test_an_impossible_command_is_refused(client: httpx.AsyncClient, action: dict[str, object]) -> None:
    """400, and the order does not change."""
    order_id = await place(client, price=1490)
    assert (await client.post(f"/_sim/orders/{order_id}", json=action)).status_code == 400
    assert [row["status"] for row in await book(client)] == ["OPEN"]


async def test_a_fault_of_the_order_and_one_of_the_connection_combine(client: httpx.AsyncClient) -> None:
    """Accepted, not visible yet, and without an answer: the worst case for an order system."""
    await set_fault(client, "late_visible", method="POST", path="/orders/*", params={"ms": 2_000})
    await set_fault(client, "drop_after_accept", method="POST", path="/orders/*")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/orders/regular", data=order_form(tag="LOST"))
    assert await book(client) == []
    await until(lambda: shows(client, "tag", "LOST"))
