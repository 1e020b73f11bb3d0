"""Reads and session calls: values from good answers, the BrokerError tree from every other."""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.broker.orders import Exchange, OrderRequest, OrderType, Product, TransactionType
from app.broker.port import Credentials, RequestKind
from app.errors import BrokerError, BrokerRefused, BrokerThrottled, BrokerUnavailable, RateLimited, SessionExpired
from app.kit.answer_time import answering_within
from app.kit.clock import IST, SystemClock
from app.kite.broker import KiteAccount, open_broker
from app.kite.feed import FeedSettings
from app.kite.governor import Governor
from app.kite.http import HttpSettings
from app.kite.pace import BrokerLimits
from tests.integration.kite.scripted import (
    Script,
    ScriptedBroker,
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

UNHURRIED = BrokerLimits(other_emission_s=0.0, quote_emission_s=0.0, historical_emission_s=0.0)


class Tokens:
    """A credential source whose token changes."""

    def __init__(self, *tokens: str | None) -> None:
        self._tokens = list(tokens)

    def __call__(self) -> Credentials:
        return credentials(self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0])


@asynccontextmanager
async def account_at(
    url: str,
    *,
    source: Any = credentials,
    calls: list[tuple[str, str]] | None = None,
    total_s: float = 20.0,
) -> AsyncIterator[KiteAccount]:
    http = HttpSettings(base_url=url, read_connect_s=total_s, read_total_s=total_s, dump_total_s=total_s)
    async with open_broker(
        "A1",
        http=http,
        feed=FeedSettings(ws_url="ws://127.0.0.1:1"),
        credentials=source,
        clock=SystemClock(),
        observer=lambda endpoint, outcome, seconds: (calls if calls is not None else []).append((endpoint, outcome)),
        limits=UNHURRIED,
    ) as account:
        yield account


def targets(broker: ScriptedBroker) -> list[str]:
    return [request.decode().split("\r\n")[0].rsplit(" ", 1)[0] for request in broker.requests]


FAILURES: list[tuple[str, Script, type[BrokerError], str]] = [
    ("dead token", failure(403, "TokenException", "Incorrect."), SessionExpired, "session_expired"),
    ("no entitlement", failure(403, "PermissionException", "Insufficient."), BrokerRefused, "refused"),
    ("bad request", failure(400, "InputException", "invalid"), BrokerRefused, "refused"),
    ("throttled", failure(429, "NetworkException", "Too many requests"), BrokerThrottled, "throttled"),
    ("oms down", failure(503, "NetworkException", "Request failed."), BrokerUnavailable, "unavailable"),
    ("page", answer(200, b"<html>"), BrokerUnavailable, "unavailable"),
    ("redirect", answer(302, b"", headers="Location: /\r\n"), BrokerUnavailable, "unavailable"),
    ("close", close, BrokerUnavailable, "unavailable"),
    ("reset", reset, BrokerUnavailable, "unavailable"),
    ("hang", hang, BrokerUnavailable, "unavailable"),
    ("half", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), BrokerUnavailable, "unavailable"),
    ("half json", answer(200, b'{"status":"success","data":[{"order_id":"1"'), BrokerUnavailable, "unavailable"),
]


@pytest.mark.parametrize(("script", "expected", "label"), [r[1:] for r in FAILURES], ids=[r[0] for r in FAILURES])
async def test_failed_reads(script: Script, expected: type[BrokerError], label: str) -> None:
    """One request, one error of the tree, one observation; never a partial book."""
    calls: list[tuple[str, str]] = []
    total_s = 0.5 if script is hang else 20.0
    async with scripted_broker(script) as broker, account_at(broker.url, calls=calls, total_s=total_s) as account:
        with pytest.raises(BrokerError) as caught:
            await account.broker.orders.order_book()
    assert type(caught.value) is expected
    assert calls == [("orders", label)]
    assert len(broker.requests) == 1


async def test_a_closed_port_is_unavailable() -> None:
    """The message names the kind of failure, not the address."""
    with closed_port() as port:
        async with account_at(f"http://127.0.0.1:{port}") as account:
            with pytest.raises(BrokerUnavailable, match="ConnectError"):
                await account.broker.portfolio.profile()


async def test_an_endless_answer_is_cut_off() -> None:
    """More than 16 MiB of JSON is no order book."""
    body = gzip.compress(b" " * (16 * 1024 * 1024 + 1))
    async with (
        scripted_broker(answer(200, body, headers="Content-Encoding: gzip\r\n")) as broker,
        account_at(broker.url) as account,
    ):
        with pytest.raises(BrokerUnavailable, match="larger than 16 MiB"):
            await account.broker.orders.order_book()


async def test_reads_ask_kites_routes() -> None:
    """Paths, repeated keys and times as Kite wants them."""
    async with scripted_broker(success({})) as broker, account_at(broker.url) as account:
        market = account.broker.market
        await account.broker.portfolio.margins()
        await market.quotes(["NSE:NIFTY 50", "NSE:M&M"])
        start = datetime(2026, 7, 6, 3, 45, tzinfo=UTC)
        with pytest.raises(BrokerUnavailable):
            await market.candles(
                408065, interval="minute", start=start, end=start.astimezone(IST), continuous=False, oi=True
            )
    seen = [target.split(" ") for target in targets(broker)]
    assert seen[0] == ["GET", "/user/margins"]
    assert urlsplit(seen[1][1]).path == "/quote"
    assert parse_qs(urlsplit(seen[1][1]).query) == {"i": ["NSE:NIFTY 50", "NSE:M&M"]}
    assert urlsplit(seen[2][1]).path == "/instruments/historical/408065/minute"
    assert parse_qs(urlsplit(seen[2][1]).query) == {
        "from": ["2026-07-06 09:15:00"],
        "to": ["2026-07-06 09:15:00"],
        "continuous": ["0"],
        "oi": ["1"],
    }


async def test_no_keys_send_no_request() -> None:
    """An empty question has an empty answer; 501 keys are the caller's mistake."""
    async with scripted_broker(success({})) as broker, account_at(broker.url) as account:
        assert await account.broker.market.quotes([]) == {}
        with pytest.raises(ValueError, match="at most 500"):
            await account.broker.market.quotes([f"NSE:{n}" for n in range(501)])
    assert broker.requests == []


async def test_instruments_come_compressed() -> None:
    """The dump is gzip on the wire and a list here."""
    header = (
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
        "instrument_type,segment,exchange\r\n"
    )
    body = gzip.compress((header + "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE\r\n").encode())
    script = answer(200, body, headers="Content-Encoding: gzip\r\n", content_type="text/csv")
    async with scripted_broker(script) as broker, account_at(broker.url) as account:
        (share,) = await account.broker.market.instruments("NSE")
    assert (share.key, share.tick_size) == ("NSE:INFY", Decimal("0.05"))
    assert targets(broker) == ["GET /instruments/NSE"]


async def test_a_refused_dump_is_an_error() -> None:
    """A JSON error under the CSV route keeps its class."""
    async with scripted_broker(failure(403, "TokenException", "dead")) as broker, account_at(broker.url) as account:
        with pytest.raises(SessionExpired):
            await account.broker.market.instruments()


async def test_a_dump_that_is_no_text_is_an_error() -> None:
    """Bytes of another kind are not guessed at."""
    async with scripted_broker(answer(200, b"\xff\xfe\x00")) as broker, account_at(broker.url) as account:
        with pytest.raises(BrokerUnavailable, match="has no column"):
            await account.broker.market.instruments()


async def test_candles_need_aware_times() -> None:
    """A naive time could mean any zone: the caller's mistake, before anything is sent."""
    naive = datetime(2026, 7, 6, 9, 15)  # noqa: DTZ001 - the mistake itself
    async with scripted_broker(success({})) as broker, account_at(broker.url) as account:
        with pytest.raises(ValueError, match="aware"):
            await account.broker.market.candles(1, interval="day", start=naive, end=naive, continuous=False, oi=False)
    assert broker.requests == []


async def test_basket_margin_posts_json() -> None:
    """The whole basket in one array; positions are considered."""
    order = OrderRequest(
        exchange=Exchange.NSE,
        tradingsymbol="INFY",
        transaction_type=TransactionType.BUY,
        quantity=1,
        product=Product.CNC,
        order_type=OrderType.MARKET,
    )
    async with scripted_broker(success({"final": {"total": 12.5}})) as broker, account_at(broker.url) as account:
        assert await account.broker.orders.basket_margin([order, order]) == Decimal("12.5")
    assert targets(broker) == ["POST /margins/basket?consider_positions=true"]
    assert broker.requests[0].count(b'"tradingsymbol"') == 2


async def test_the_token_is_read_at_each_request() -> None:
    """A new login is used without a restart."""
    async with scripted_broker(success({})) as broker, account_at(broker.url, source=Tokens("one", "two")) as account:
        await account.broker.portfolio.profile()
        await account.broker.portfolio.profile()
    sent = [line for r in broker.requests for line in r.decode().split("\r\n") if line.startswith("Authorization")]
    assert sent == ["Authorization: token key:one", "Authorization: token key:two"]


async def test_the_brokers_clock_is_learned_from_date() -> None:
    """An hour ahead is seen as an hour ahead, to within the header's second and the answer's way."""
    ahead = format_datetime(datetime.fromtimestamp(datetime.now(UTC).timestamp() + 3600, UTC), usegmt=True)
    async with (
        scripted_broker(answer(200, {"data": {}}, headers=f"Date: {ahead}\r\n")) as broker,
        account_at(broker.url) as account,
    ):
        assert account.broker.clock_offset_s() is None
        await account.broker.portfolio.profile()
        assert account.broker.clock_offset_s() == pytest.approx(3600, abs=15)


async def test_a_read_that_may_not_go_in_time_is_throttled_and_not_sent() -> None:
    """Our own limit speaks the broker's language, before anything leaves."""
    async with (
        scripted_broker(success({})) as broker,
        open_broker(
            "A1",
            http=HttpSettings(base_url=broker.url),
            feed=FeedSettings(ws_url="ws://127.0.0.1:1"),
            credentials=credentials,
            clock=SystemClock(),
            limits=BrokerLimits(quote_emission_s=3600),
        ) as account,
    ):
        await account.broker.market.quotes(["NSE:INFY"])
        with pytest.raises(BrokerThrottled):
            await account.broker.market.quotes(["NSE:INFY"])
    assert len(broker.requests) == 1


class TestSession:
    async def test_exchange_sends_the_checksum_and_no_old_token(self) -> None:
        """Key, request token and checksum as a form."""
        data = {"user_id": "AB1234", "access_token": "new", "login_time": "2026-07-06 08:31:02"}
        async with scripted_broker(success(data)) as broker, account_at(broker.url) as account:
            login = await account.broker.session.exchange_request_token("rt")
        assert (login.user_id, login.access_token.get_secret_value()) == ("AB1234", "new")
        assert login.login_time == datetime(2026, 7, 6, 8, 31, 2, tzinfo=IST)
        head, _, body = broker.requests[0].decode().partition("\r\n\r\n")
        assert head.startswith("POST /session/token ")
        assert "authorization" not in head.lower()
        assert set(parse_qs(body)) == {"api_key", "request_token", "checksum"}

    async def test_a_used_request_token_is_session_expired(self) -> None:
        """Kite's text reaches the caller."""
        script = failure(403, "TokenException", "Token is invalid or has expired.")
        async with scripted_broker(script) as broker, account_at(broker.url) as account:
            with pytest.raises(SessionExpired, match="invalid or has expired"):
                await account.broker.session.exchange_request_token("rt")

    async def test_log_out_names_the_token_in_no_log(self, caplog: pytest.LogCaptureFixture) -> None:
        """The token is in the URL, which httpx would write at INFO."""
        caplog.set_level(logging.INFO)
        async with scripted_broker(success(True)) as broker, account_at(broker.url) as account:
            await account.broker.session.log_out()
        assert parse_qs(urlsplit(targets(broker)[0].split(" ")[1]).query)["access_token"] == ["token"]
        assert "access_token" not in caplog.text

    @pytest.mark.parametrize(("token", "requests"), [("dead", 1), (None, 0)])
    async def test_a_dead_token_is_already_logged_out(self, token: str | None, requests: int) -> None:
        """No error, and without a token not even a request."""
        script = failure(403, "TokenException", "dead")
        async with scripted_broker(script) as broker, account_at(broker.url, source=Tokens(token)) as account:
            await account.broker.session.log_out()
        assert len(broker.requests) == requests

    async def test_login_url(self) -> None:
        """The broker's own page, with our key."""
        async with account_at("http://127.0.0.1:1") as account:
            url = account.broker.session.login_url(redirect_params="account=A1")
        assert url == "https://kite.zerodha.com/connect/login?v=3&api_key=key&redirect_params=account%3DA1"


async def test_a_read_for_a_request_ends_before_the_request_must_be_answered() -> None:
    """A broker that hangs costs the rest of the request's time, not the read's own fifteen seconds."""
    async with scripted_broker(hang) as broker, account_at(broker.url) as account:
        begun_at = time.monotonic()
        with answering_within(0.4), pytest.raises(BrokerUnavailable):
            await account.broker.portfolio.positions()
        assert time.monotonic() - begun_at < 2.0


async def test_a_wait_for_the_rate_limit_ends_before_the_request_must_be_answered() -> None:
    """Behind a place in a long queue nothing of the request's time is left for its answer."""
    governor = Governor(clock=SystemClock(), limits=BrokerLimits(other_emission_s=5.0, other_burst=1))
    await governor.acquire(RequestKind.OTHER)
    begun_at = time.monotonic()
    with answering_within(0.4), pytest.raises(RateLimited):
        await governor.acquire(RequestKind.OTHER)
    assert time.monotonic() - begun_at < 2.0
