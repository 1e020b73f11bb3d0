"""Which way connections to the broker take: REST and ticker, through a proxy, over IPv4 alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.broker.orders import OrderChanges
from app.broker.outcomes import NotSent
from app.errors import BrokerUnavailable
from app.kit.clock import SystemClock
from app.kite.broker import KiteAccount, open_broker
from app.kite.feed import FeedSettings
from app.kite.http import HttpSettings
from app.kite.route import Route
from tests.integration.kite.feed_environment import running_feed, ticker
from tests.integration.kite.http_proxy import http_proxy
from tests.integration.kite.scripted import credentials, scripted_broker, success


@asynccontextmanager
async def account_at(url: str, route: Route) -> AsyncIterator[KiteAccount]:
    async with open_broker(
        "A1",
        http=HttpSettings(base_url=url, route=route),
        feed=FeedSettings(ws_url="ws://127.0.0.1:1"),
        credentials=credentials,
        clock=SystemClock(),
    ) as account:
        yield account


async def test_rest_goes_through_the_proxy_that_is_set() -> None:
    """With its name and password, which the broker does not see."""
    async with http_proxy() as proxy, scripted_broker(success([])) as broker:
        route = Route(proxy=proxy.url.replace("://", "://me:p%40ss@"))
        async with account_at(broker.url, route) as account:
            assert list(await account.broker.orders.order_book()) == []
    (head,) = proxy.heads
    assert head.startswith(f"GET {broker.url}/orders HTTP/1.1")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in head
    assert b"GET /orders" in broker.requests[0]


@pytest.mark.parametrize("url", ["http://broker.invalid", "https://broker.invalid"])
async def test_an_order_that_the_proxy_does_not_take_was_not_sent(url: str) -> None:
    """The proxy is away: not one byte has left."""
    async with account_at(url, Route(proxy="http://127.0.0.1:1")) as account:
        outcome = await account.broker.orders.modify("7", variety="regular", changes=OrderChanges(quantity=1))
        with pytest.raises(BrokerUnavailable):
            await account.broker.orders.order_book()
    assert isinstance(outcome, NotSent)


async def test_an_order_for_which_the_proxy_refuses_a_tunnel_was_not_sent() -> None:
    """The request for a tunnel has no byte of the order."""
    async with (
        http_proxy(refusal=502) as proxy,
        account_at("https://broker.invalid", Route(proxy=proxy.url)) as account,
    ):
        outcome = await account.broker.orders.modify("7", variety="regular", changes=OrderChanges(quantity=1))
    assert isinstance(outcome, NotSent)
    assert [head.split(" ")[:2] for head in proxy.heads] == [["CONNECT", "broker.invalid:443"]]


async def test_the_ticker_goes_through_a_tunnel_of_the_proxy() -> None:
    """Ticks flow as without it; the proxy sees the ticker's address and no token."""
    async with (
        http_proxy() as proxy,
        ticker() as server,
        running_feed(server.url, route=Route(proxy=proxy.url)) as (feed, listener),
    ):
        await listener.until(lambda: feed.state.connected and feed.state.frames > 3)
    assert len(server.paths) == 1
    (head,) = proxy.heads
    assert head.startswith("CONNECT localhost:")
    assert "access_token" not in head


@pytest.mark.parametrize(
    ("refusal", "reason"), [(407, "HTTP 407"), (502, "HTTP 502"), (None, "cannot connect: ConnectionRefusedError")]
)
async def test_a_proxy_that_refuses_is_named_as_the_reason(refusal: int | None, reason: str) -> None:
    """Or one that is away; the feed tries again."""
    async with http_proxy(refusal=refusal) as proxy, ticker() as server:
        address = proxy.url if refusal else "http://127.0.0.1:1"
        async with running_feed(server.url, route=Route(proxy=address)) as (feed, listener):
            await listener.until(lambda: feed.state.last_error is not None and reason in feed.state.last_error)
    assert server.paths == []


async def test_ipv4_alone_reaches_no_ipv6_address() -> None:
    """A host with both would leave by an address that is not registered."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    seen: list[str] = []

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(note, "::1", 0)
    async with server:
        url = f"://[::1]:{server.sockets[0].getsockname()[1]}"
        for ipv4_only in (True, False):
            route = Route(ipv4_only=ipv4_only)
            async with account_at(f"http{url}", route) as account:
                with pytest.raises(BrokerUnavailable):
                    await account.broker.orders.order_book()
            async with running_feed(f"ws{url}", route=route) as (feed, listener):
                await listener.until(lambda: feed.state.last_error is not None)
            assert bool(seen) is not ipv4_only


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route(), "directly, IPv4 or IPv6"),
        (Route(proxy="http://me:secret@10.0.0.1:3128", ipv4_only=True), "through the proxy 10.0.0.1:3128, IPv4 only"),
    ],
)
def test_a_route_is_shown_without_its_password(route: Route, words: str) -> None:
    """In the doctor's line."""
    assert str(route) == words
