"""Faults of the connection as a raw socket sees them, and the orders in the ledger afterwards."""

import asyncio
import time

import httpx
import pytest

from simulator.server import RunningSimulator
from tests.integration.simulator.order_forms import ledger
from tests.integration.simulator.raw_http import Seen, exchange_bytes, order_request, raw_request
from tests.waiting import until

ORDERS = {"method": "POST", "path": "/orders/*"}


async def set_fault(client: httpx.AsyncClient, kind: str, **spec: object) -> str:
    answer = await client.post("/_sim/faults", json={**ORDERS, "kind": kind, **spec})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["fault_id"])


async def send_order(
    simulator: RunningSimulator,
    *,
    wait: float = 20.0,
    authorization: str = "token simkey:simtoken",
    **changes: object,
) -> Seen:
    return await exchange_bytes(simulator.port, order_request(authorization=authorization, **changes), wait=wait)


@pytest.mark.parametrize(
    ("kind", "params", "end", "placed"),
    [
        ("drop_before_read", {}, "closed", 0),
        ("drop_after_accept", {}, "closed", 1),
        ("reset", {}, "reset", 0),
        ("hang", {"ms": 60_000}, "silent", 1),
        ("hang", {"ms": 60_000, "process": False}, "silent", 0),
        ("hang", {"ms": 50}, "closed", 1),
    ],
)
async def test_an_answer_that_never_comes(
    simulator: RunningSimulator, client: httpx.AsyncClient, kind: str, params: dict[str, object], end: str, placed: int
) -> None:
    """No byte comes; only the ledger shows whether there is an order. The next request is served."""
    await set_fault(client, kind, params=params)
    wait = 1.0 if end == "silent" else 20.0
    assert await send_order(simulator, wait=wait) == Seen(b"", end)  # type: ignore[arg-type]
    assert len(await ledger(client)) == placed
    assert (await send_order(simulator)).end == "answered"
    assert len(await ledger(client)) == placed + 1


async def test_half_the_headers_arrive(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """The order is placed; its answer ends inside the headers."""
    await set_fault(client, "half_headers")
    seen = await send_order(simulator)
    assert seen.end == "closed"
    assert seen.data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in seen.data
    assert len(await ledger(client)) == 1


async def test_half_the_body_arrives(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """A 200 with fewer bytes than its Content-Length."""
    await set_fault(client, "half_body")
    seen = await send_order(simulator)
    assert seen.end == "closed"
    head, _, body = seen.data.partition(b"\r\n\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert 0 < len(body) < promised
    assert len(await ledger(client)) == 1


@pytest.mark.parametrize("process", [False, True])
async def test_an_error_status_may_hide_a_placed_order(
    simulator: RunningSimulator, client: httpx.AsyncClient, process: bool
) -> None:
    """With the code, type and message of the fault; the order is placed only with `process`."""
    params = {"code": 502, "error_type": "NetworkException", "message": "Request failed (kitetrade-oms)."}
    await set_fault(client, "status", params={**params, "process": process})
    seen = await send_order(simulator)
    assert seen.data.startswith(b"HTTP/1.1 502 ")
    assert b'"message":"Request failed (kitetrade-oms)."' in seen.data
    assert b'"error_type":"NetworkException"' in seen.data
    assert len(await ledger(client)) == int(process)


async def test_a_page_of_html_may_come_instead_of_json(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """200 and text/html, as from a gateway; the exchange has no order."""
    await set_fault(client, "html_200")
    seen = await send_order(simulator)
    assert seen.data.startswith(b"HTTP/1.1 200 OK")
    assert b"text/html" in seen.data
    assert await ledger(client) == []


async def test_a_timed_out_order_appears_later(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """400 with Kite's sentence immediately, the order later."""
    await set_fault(client, "timeout_400_then_placed", params={"after_ms": 1_500})
    seen = await send_order(simulator)
    assert seen.data.startswith(b"HTTP/1.1 400 ")
    assert b"Order request timed out. Please check the order book" in seen.data
    assert await ledger(client) == []
    await until(lambda: is_placed(client))
    assert len(await ledger(client)) == 1


async def is_placed(client: httpx.AsyncClient) -> bool:
    return bool(await ledger(client))


async def test_a_delay_comes_before_the_order_is_placed(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """The answer is complete; a delay can be combined with another fault."""
    await set_fault(client, "delay", params={"ms": 200})
    await set_fault(client, "drop_after_accept")
    started = time.monotonic()
    assert (await send_order(simulator)).end == "closed"
    assert time.monotonic() - started >= 0.2
    assert len(await ledger(client)) == 1


async def test_a_client_that_gives_up_leaves_no_hanging_request(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """A hang ends with its connection, so that a simulator stops immediately."""
    await set_fault(client, "hang")
    await send_order(simulator, wait=0.2)
    async with asyncio.timeout(20):  # the hang itself lasts a minute
        assert (await client.get("/_sim/stats")).status_code == 200


async def test_a_fault_strikes_after_some_matches_and_only_so_often(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """`after` 1, `times` 2: the second and third of four orders are lost."""
    fault_id = await set_fault(client, "drop_before_read", after=1, times=2)
    ends = [(await send_order(simulator)).end for _ in range(4)]
    assert ends == ["answered", "closed", "closed", "answered"]
    [row] = (await client.get("/_sim/faults")).json()
    assert (row["fault_id"], row["struck"]) == (fault_id, 2)


async def test_a_fault_is_for_one_tag_or_one_user(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """The tag is read from the body, which reaches the exchange unchanged."""
    await set_fault(client, "drop_after_accept", times=-1, params={"tag_prefix": "BAD"})
    await set_fault(client, "drop_before_read", times=-1, user_id="SIM002")
    assert (await send_order(simulator, tag="BAD1")).end == "closed"
    assert (await send_order(simulator, tag="GOOD1")).end == "answered"
    assert (await send_order(simulator, authorization="token simkey2:simtoken2", tag="X")).end == "closed"
    assert [entry["tag"] for entry in await ledger(client)] == ["BAD1", "GOOD1"]


async def test_a_fault_on_cancel_matches_the_tag_of_the_order(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """The request has no tag, but its order has one."""
    answer = await send_order(simulator, price=1490, tag="LEG1")
    order_id = answer.data.decode().partition('"order_id":"')[2][:19]
    await set_fault(client, "drop_before_read", method="DELETE", path="/orders/regular/*", tag_prefix="LEG")
    seen = await exchange_bytes(simulator.port, raw_request("DELETE", f"/orders/regular/{order_id}"))
    assert seen == Seen(b"", "closed")
    assert (await client.get("/orders")).json()["data"][0]["status"] == "OPEN"


async def test_a_cleared_fault_strikes_no_more(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """One is removed by its id, the others together."""
    first = await set_fault(client, "drop_before_read", times=-1)
    await set_fault(client, "drop_before_read", times=-1)
    assert (await client.delete(f"/_sim/faults/{first}")).json() == {"cleared": 1}
    assert (await client.delete("/_sim/faults")).json() == {"cleared": 1}
    assert (await send_order(simulator)).end == "answered"
    assert (await client.delete(f"/_sim/faults/{first}")).status_code == 404


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "explode"}, "unknown fault kind 'explode'"),
        ({}, "unknown fault kind None"),
        (
            {"kind": "hang", "params": {"seconds": 3}},
            "unknown parameter `seconds` for fault `hang`; it takes: ms, process",
        ),
        ({"kind": "hang", "params": {"ms": "long"}}, "parameter `ms` of fault `hang` wants a whole number"),
        ({"kind": "status", "params": {"code": 200}}, "wants a whole number from 400 to 599, got 200"),
        ({"kind": "stuck", "params": {"status": "OPEN"}}, "wants one of PUT ORDER REQ RECEIVED"),
        ({"kind": "hang", "params": {"process": "no"}}, "wants true or false, got 'no'"),
        ({"kind": "hang", "params": [1]}, "`params` wants an object"),
        ({"kind": "hang", "times": 0.5}, "`times` wants a whole number"),
        ({"kind": "hang", "probability": 2}, "`probability` wants a number from 0 to 1"),
        ({"kind": "hang", "after": -1}, "`after` wants a whole number from 0"),
        ({"kind": "hang", "path": 7}, "`path` wants text, got 7"),
        ({"kind": "hang", "colour": "red"}, "unknown field `colour`"),
    ],
)
async def test_a_bad_fault_is_refused(client: httpx.AsyncClient, spec: dict[str, object], message: str) -> None:
    """400 with the reason; no fault is set."""
    answer = await client.post("/_sim/faults", json=spec)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert (await client.get("/_sim/faults")).json() == []


async def test_probability_decides_by_the_seed(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """About half of twenty, and never all or none."""
    await set_fault(client, "status", times=-1, probability=0.5)
    statuses = [(await send_order(simulator, price=1400)).data[9:12] for _ in range(20)]
    assert 3 <= statuses.count(b"500") <= 17
