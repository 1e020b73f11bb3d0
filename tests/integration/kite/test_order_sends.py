"""The order client against a broker that misbehaves: the outcome, and how often the broker saw the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from urllib.parse import parse_qs

import pytest

from app.broker.orders import Exchange, OrderChanges, OrderRequest, OrderType, Product, TransactionType
from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled
from app.broker.port import Credentials
from app.errors import BrokerUnavailable
from app.kit.clock import SystemClock
from app.kite.broker import open_broker
from app.kite.feed import FeedSettings
from app.kite.http import HttpSettings
from app.kite.orders import KiteOrders
from tests.integration.kite.scripted import (
    Script,
    answer,
    close,
    closed_port,
    credentials,
    failure,
    hang,
    raw,
    reset,
    scripted_broker,
    success,
)

ORDER = OrderRequest(
    exchange=Exchange.NSE,
    tradingsymbol="M&M",
    transaction_type=TransactionType.BUY,
    quantity=10,
    product=Product.MIS,
    order_type=OrderType.LIMIT,
    price=Decimal("1500.05"),
)
TIMED_OUT = "Order request timed out. Please check the order book and confirm before placing again."
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


class Seen:
    """Collects what is observed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def __call__(self, endpoint: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((endpoint, outcome))


@asynccontextmanager
async def orders_at(
    url: str, *, seen: Seen | None = None, who: Credentials | None = None, total_s: float = 20.0
) -> AsyncIterator[KiteOrders]:
    http = HttpSettings(base_url=url, order_connect_s=total_s, order_total_s=total_s)
    async with open_broker(
        "A1",
        http=http,
        feed=FeedSettings(ws_url="ws://127.0.0.1:1"),
        credentials=lambda: who or credentials(),
        clock=SystemClock(),
        observer=seen or Seen(),
    ) as account:
        assert isinstance(account.broker.orders, KiteOrders)
        yield account.broker.orders


# script, what the outcome is: a comment says what may have happened at the broker
AFTER_READING: list[tuple[str, Script, type[SendOutcome]]] = [
    ("order id", success({"order_id": "1"}), Accepted),
    ("json as text/plain", answer(200, {"data": {"order_id": "1"}}, content_type="text/plain"), Accepted),
    ("refusal", failure(400, "InputException", "bad `price`"), Refused),
    ("dead token", failure(403, "TokenException", "Incorrect `api_key` or `access_token`."), SessionRejected),
    ("throttled", failure(429, "NetworkException", "Too many requests"), Throttled),
    ("400 timed out", failure(400, "NetworkException", TIMED_OUT), InDoubt),  # such orders were placed
    ("502 page", answer(502, b"<html>Bad Gateway</html>", content_type="text/html"), InDoubt),
    ("200 page", answer(200, b"<html>Hello</html>", content_type="text/html"), InDoubt),
    ("redirect", answer(302, b"", headers="Location: /orders/regular\r\n"), InDoubt),  # never followed
    ("empty 200", answer(200, b""), InDoubt),
    ("close without an answer", close, InDoubt),
    ("reset", reset, InDoubt),
    ("half a status line", raw(b"HTTP/1.1 20"), InDoubt),
    ("half the headers", raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), InDoubt),
    ("half the body", raw(HEAD + b'{"status":"success","data":{"order_id":"1"}}'), InDoubt),
    ("garbage", raw(b"\x00\x01\x02\x03\r\n\r\n"), InDoubt),
    ("bad gzip", answer(200, b"not gzip", headers="Content-Encoding: gzip\r\n"), InDoubt),
    ("hang", hang, InDoubt),
    ("a body without end", raw(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (1024 * 1024 + 2)), InDoubt),
]


@pytest.mark.parametrize(("script", "expected"), [row[1:] for row in AFTER_READING], ids=[r[0] for r in AFTER_READING])
async def test_a_request_that_was_read_is_seen_once(script: Script, expected: type[SendOutcome]) -> None:
    """Whatever the broker answers, it gets exactly one request, and the outcome is the row's."""
    total_s = 0.5 if script is hang else 20.0
    async with scripted_broker(script) as broker, orders_at(broker.url, total_s=total_s) as orders:
        outcome = await orders.place(ORDER, tag="TAG1")
    assert type(outcome) is expected
    assert len(broker.requests) == 1


async def test_reset_before_reading_is_in_doubt() -> None:
    """Bytes had left: that the broker read none of them cannot be known here."""
    async with scripted_broker(reset, reads="nothing") as broker, orders_at(broker.url) as orders:
        outcome = await orders.place(ORDER, tag="TAG1")
    assert isinstance(outcome, InDoubt)
    assert broker.connections == 1


async def test_refused_connection_is_not_sent() -> None:
    """Nobody listens, so no byte left."""
    with closed_port() as port:
        async with orders_at(f"http://127.0.0.1:{port}") as orders:
            assert await orders.place(ORDER, tag="TAG1") == NotSent(reason="ConnectError")


async def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    """DNS comes before the first byte."""
    async with orders_at("http://no-such-host.invalid", total_s=20) as orders:
        assert isinstance(await orders.place(ORDER, tag="TAG1"), NotSent)


async def test_tls_against_a_plain_server_is_not_sent() -> None:
    """The handshake fails before the request begins."""
    async with (
        scripted_broker(close, reads="nothing") as broker,
        orders_at(broker.url.replace("http:", "https:")) as orders,
    ):
        assert isinstance(await orders.place(ORDER, tag="TAG1"), NotSent)


async def test_a_connection_that_died_while_idle_is_in_doubt_at_worst() -> None:
    """A kept connection that the broker closed meanwhile is never used to send twice."""
    async with scripted_broker(answer(200, {"data": {"order_id": "1"}})) as broker, orders_at(broker.url) as orders:
        first = await orders.place(ORDER, tag="TAG1")
        second = await orders.place(ORDER, tag="TAG2")
    assert (type(first), type(second)) == (Accepted, Accepted)
    assert (len(broker.requests), broker.connections) == (2, 1)


async def test_cancelling_the_caller_propagates() -> None:
    """The caller that was cancelled in the middle of a send must treat it as in doubt, so it has to know."""
    seen = Seen()
    async with scripted_broker(hang) as broker, orders_at(broker.url, seen=seen) as orders:
        task = asyncio.ensure_future(orders.place(ORDER, tag="TAG1"))
        await broker.got_request.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen.calls == [("place", "cancelled")]


async def test_without_a_token_nothing_is_sent() -> None:
    """Before the first login the outcome says so, and the broker gets no request."""
    async with scripted_broker(success({})) as broker, orders_at(broker.url, who=credentials(None)) as orders:
        assert isinstance(await orders.place(ORDER, tag="TAG1"), SessionRejected)
    assert broker.connections == 0


async def test_a_token_that_no_header_can_carry_is_an_outcome() -> None:
    """An exception here would end the sender, and with it whatever else it has on the way."""
    async with scripted_broker(success({})) as broker, orders_at(broker.url, who=credentials("t\u00f6ken")) as orders:
        assert isinstance(await orders.place(ORDER, tag="TAG1"), NotSent)
        with pytest.raises(BrokerUnavailable):
            await orders.order_book()
    assert broker.connections == 0


async def test_a_date_beyond_all_calendars_does_not_hide_the_answer() -> None:
    """The header is read for our clock's sake alone."""
    accepted = {"status": "success", "data": {"order_id": "1"}}
    script = answer(200, accepted, headers="Date: Mon, 01 Jan 99999999999 00:00:00 GMT\r\n")
    async with scripted_broker(script) as broker, orders_at(broker.url) as orders:
        assert await orders.place(ORDER, tag="TAG1") == Accepted(order_id="1")


async def test_place_is_a_form_with_kites_headers() -> None:
    """Route, version header, authorization, form fields with ``&`` escaped."""
    async with scripted_broker(success({"order_id": "1"})) as broker, orders_at(broker.url) as orders:
        await orders.place(ORDER, tag="TAG1")
    head, _, body = broker.requests[0].decode().partition("\r\n\r\n")
    lines = head.lower().split("\r\n")
    assert head.startswith("POST /orders/regular HTTP/1.1")
    assert "x-kite-version: 3" in lines
    assert "authorization: token key:token" in lines
    assert "content-type: application/x-www-form-urlencoded" in lines
    assert any(line.startswith("user-agent: ticker-service/") for line in lines)
    form = parse_qs(body)
    assert (form["tradingsymbol"], form["price"], form["tag"]) == (["M&M"], ["1500.05"], ["TAG1"])


async def test_modify_and_cancel_use_their_own_variety() -> None:
    """PUT with a form, DELETE with a query; an id cannot reach another route."""
    async with scripted_broker(success({"order_id": "1"})) as broker, orders_at(broker.url) as orders:
        await orders.modify("7", variety="iceberg", changes=OrderChanges(price=Decimal("1.5")))
        await orders.cancel("8", variety="co", parent_order_id="9")
        await orders.cancel("../9", variety="regular")
    lines = [request.decode().split("\r\n")[0] for request in broker.requests]
    assert lines == [
        "PUT /orders/iceberg/7 HTTP/1.1",
        "DELETE /orders/co/8?parent_order_id=9 HTTP/1.1",
        "DELETE /orders/regular/..%2F9 HTTP/1.1",
    ]
    assert broker.requests[0].endswith(b"price=1.5")


async def test_every_send_is_observed_once() -> None:
    """Endpoint and outcome come from closed lists."""
    seen = Seen()
    async with (
        scripted_broker(failure(400, "InputException", "no")) as broker,
        orders_at(broker.url, seen=seen) as orders,
    ):
        await orders.place(ORDER, tag="TAG1")
        await orders.modify("7", variety="regular", changes=OrderChanges(quantity=1))
        await orders.cancel("7", variety="regular")
    assert seen.calls == [("place", "refused"), ("modify", "refused"), ("cancel", "refused")]
