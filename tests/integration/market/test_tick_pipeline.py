"""Ticks through the pipeline into a real Redis, by hand-fed packets."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis

from app.broker.market import Instrument
from app.broker.ticks import Tick
from app.db.redis_keys import RedisKeys
from app.kit.backoff import Backoff
from app.kit.clock import SystemClock
from app.market.ticks.conflation import AccountTicks
from app.market.ticks.newest import NewestTicks
from app.market.ticks.pipeline import TickListener, TickPipeline
from app.market.ticks.publisher import TickPublisher
from tests.integration.market.packets import ltp_packet
from tests.integration.market.proxy import TcpProxy
from tests.waiting import running_tasks

INFY = Instrument(
    instrument_token=408065, exchange_token=1594, tradingsymbol="INFY", name="INFOSYS", expiry=None, strike=Decimal(0),
    tick_size=Decimal("0.05"), lot_size=1, instrument_type="EQ", segment="NSE", exchange="NSE",
)  # fmt: skip
FAST = Backoff(first_s=0.02, cap_s=0.05)
WAIT_S = 20.0


def decode(packet: bytes) -> Tick | None:
    """Only last-price packets: what a packet means is the adapter's test, not this one."""
    if len(packet) != 8:
        return None
    token, price = struct.unpack(">II", packet)
    return Tick(instrument_token=token, mode="ltp", tradable=True, last_price=price / 100)


class OneInstrument:
    """Only INFY has a name."""

    def by_token(self) -> Mapping[int, Instrument]:
        return {408065: INFY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    pipeline: TickPipeline
    newest: NewestTicks
    publisher: TickPublisher
    ticks: AccountTicks

    def push(self, *packets: bytes) -> None:
        at = int(datetime.now(UTC).timestamp() * 1000)
        self.ticks.on_packets(packets, received_at_ms=at)


@asynccontextmanager
async def running(
    url: str, prefix: str, *, reply_timeout_s: float = WAIT_S, listeners: Sequence[TickListener] = ()
) -> AsyncIterator[Environment]:
    publisher = TickPublisher(url, keys=RedisKeys(prefix), backoff=FAST, reply_timeout_s=reply_timeout_s)
    newest = NewestTicks({"primary": decode}, instruments=OneInstrument(), source="simulator")
    pipeline = TickPipeline(newest, publisher=publisher, listeners=listeners, clock=SystemClock(), flush_ms=1)
    async with running_tasks(publisher.run(), pipeline.run()):
        yield Environment(pipeline=pipeline, newest=newest, publisher=publisher, ticks=newest.accounts["primary"])


async def until(condition: Callable[[], bool], *, timeout: float = WAIT_S) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def subscribed(redis: Redis, pattern: str) -> Any:
    pubsub = redis.pubsub()
    await pubsub.psubscribe(pattern)
    await pubsub.get_message(timeout=WAIT_S)
    return pubsub


async def read(pubsub: Any) -> dict[str, Any]:
    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=WAIT_S)
    assert message is not None, f"no message within {WAIT_S:g} s"
    tick: dict[str, Any] = json.loads(message["data"])
    return tick


async def test_a_tick_is_published_on_its_channel_and_kept_in_the_hash(
    redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """The same bytes go to PUBLISH and HSET, named, stamped and truthful about their source."""
    pubsub = await subscribed(redis, f"{redis_prefix}ticks:*")
    async with running(redis_url, redis_prefix) as environment:
        await until(lambda: environment.publisher.ready)
        environment.push(ltp_packet(408065, 157315))
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=WAIT_S)
        kept = await redis.hget(f"{redis_prefix}last", "408065")
    await pubsub.aclose()
    assert message["channel"].decode() == f"{redis_prefix}ticks:408065"
    assert message["data"] == kept
    assert kept is not None
    tick = json.loads(kept)
    received_at = tick.pop("received_at")
    assert abs(received_at / 1000 - datetime.now(UTC).timestamp()) < 5
    assert tick == {
        "v": 1, "instrument_token": 408065, "exchange": "NSE", "tradingsymbol": "INFY", "mode": "ltp", "tradable": True,
        "last_price": 1573.15, "account_id": "primary", "seq": 1, "source": "simulator",
    }  # fmt: skip


async def test_seq_rises_by_one_per_published_tick(redis: Redis, redis_url: str, redis_prefix: str) -> None:
    """Across instruments, flushes and chunks of an account."""
    pubsub = await subscribed(redis, f"{redis_prefix}ticks:*")
    async with running(redis_url, redis_prefix) as environment:
        await until(lambda: environment.publisher.ready)
        environment.push(*(ltp_packet(token, 100) for token in range(1, 251)))
        first = [(await read(pubsub))["seq"] for _ in range(250)]
        environment.push(ltp_packet(7, 101))
        second = (await read(pubsub))["seq"]
        assert environment.pipeline.stats().published == 251
    await pubsub.aclose()
    assert first == list(range(1, 251))
    assert second == 251


async def test_newest_wins_within_a_flush_and_the_replaced_are_counted(
    redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Three packets of one instrument in one frame are one tick: the last."""
    pubsub = await subscribed(redis, f"{redis_prefix}ticks:*")
    async with running(redis_url, redis_prefix) as environment:
        await until(lambda: environment.publisher.ready)
        environment.push(ltp_packet(5, 100), ltp_packet(5, 200), ltp_packet(5, 300))
        assert (await read(pubsub))["last_price"] == 3.0
        await until(lambda: environment.pipeline.stats().published == 1)
        stats = environment.pipeline.stats()
    await pubsub.aclose()
    assert (stats.received["primary"], stats.conflated) == (3, 2)
    assert sum(stats.publish_lag.counts) == 1


async def test_malformed_packets_are_counted_and_the_others_published(
    redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Too short to have a token, or refused by the decoder: dropped, counted, never raised."""
    pubsub = await subscribed(redis, f"{redis_prefix}ticks:*")
    async with running(redis_url, redis_prefix) as environment:
        await until(lambda: environment.publisher.ready)
        environment.push(b"\x00\x01", ltp_packet(5, 100), b"123456789")
        assert (await read(pubsub))["instrument_token"] == 5
        await until(lambda: environment.pipeline.stats().published == 1)
        assert environment.pipeline.stats().malformed["primary"] == 2
    await pubsub.aclose()


async def test_an_outage_of_redis_conflates_and_the_newest_ticks_follow(
    redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """The feed's calls return at once; after the return of Redis each instrument has its newest value."""
    pubsub = await subscribed(redis, f"{redis_prefix}ticks:*")
    async with TcpProxy.to(redis_url) as proxy, running(proxy.url, redis_prefix) as environment:
        await until(lambda: environment.publisher.ready)
        await proxy.cut()
        await until(lambda: not environment.publisher.connected)
        for price in range(1, 51):
            environment.push(ltp_packet(1, price * 100), ltp_packet(2, price * 100))
        assert environment.publisher.last_error
        await proxy.heal()
        seen = {tick["instrument_token"]: tick["last_price"] for tick in [await read(pubsub), await read(pubsub)]}
        await until(lambda: environment.pipeline.stats().published == 2)
        stats = environment.pipeline.stats()
        assert environment.publisher.last_error is None
    await pubsub.aclose()
    assert seen == {1: 50.0, 2: 50.0}
    assert stats.conflated == 98
    assert environment.publisher.reconnects == 1


async def test_a_hung_redis_does_not_delay_listeners(redis_url: str, redis_prefix: str) -> None:
    """In-process readers get each tick, once, while Redis is still waited for."""
    got: list[tuple[int, float]] = []

    def take(token: int, payload: bytes) -> None:
        got.append((token, json.loads(payload)["last_price"]))

    async with (
        TcpProxy.to(redis_url) as proxy,
        running(proxy.url, redis_prefix, reply_timeout_s=120.0, listeners=[take]) as environment,
    ):
        await until(lambda: environment.publisher.ready)
        proxy.hang()
        for price in (1, 2, 3):
            environment.push(ltp_packet(9, price * 100))
            await until(lambda price=price: len(got) == price)  # type: ignore[misc]
        assert (environment.publisher.connected, environment.pipeline.stats().published) == (True, 0)
    assert got == [(9, 1.0), (9, 2.0), (9, 3.0)]


async def test_a_hung_redis_is_dropped_and_the_newest_ticks_follow(redis_url: str, redis_prefix: str) -> None:
    """Nothing is waited for without an end."""
    async with TcpProxy.to(redis_url) as proxy, running(proxy.url, redis_prefix, reply_timeout_s=0.5) as environment:
        await until(lambda: environment.publisher.ready)
        proxy.hang()
        for price in (1, 2, 3):
            environment.push(ltp_packet(9, price * 100))
        await until(lambda: not environment.publisher.connected)
        assert "no answer" in (environment.publisher.last_error or "")
        proxy.resume()
        await until(lambda: environment.pipeline.stats().published == 1)


async def test_a_wrong_password_is_reported_and_tried_again(redis_url: str, redis_prefix: str) -> None:
    """Health can show why ticks do not flow."""
    url = redis_url.replace("redis://", "redis://someuser:wrong@")
    async with running(url, redis_prefix) as environment:
        await until(lambda: bool(environment.publisher.last_error))
        assert "WRONGPASS" in (environment.publisher.last_error or "") or "AUTH" in (
            environment.publisher.last_error or ""
        )
        assert not environment.publisher.connected


def self_signed(directory: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 that only its own file vouches for (``directory / "cert.pem"``)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


async def test_tls_to_redis_trusts_only_the_given_authority(
    redis: Redis, redis_url: str, redis_prefix: str, tmp_path: Path
) -> None:
    """With the authority's file ticks arrive; without it the connection is refused, and why is said."""
    async with TcpProxy.to(redis_url, tls=self_signed(tmp_path)) as proxy:
        url = proxy.url.replace("redis://", "rediss://")
        async with running(url, redis_prefix) as untrusting:
            await until(lambda: "certificate verify failed" in (untrusting.publisher.last_error or ""))
        async with running(f"{url}?ssl_ca_certs={tmp_path / 'cert.pem'}", redis_prefix) as environment:
            await until(lambda: environment.publisher.ready)
            environment.push(*(ltp_packet(token, 100) for token in range(500)))
            await until(lambda: environment.pipeline.stats().published == 500)
    assert await redis.hlen(f"{redis_prefix}last") == 500


async def test_last_is_the_newest_tick_in_memory(redis_url: str, redis_prefix: str) -> None:
    """Before and after it was published, and gone when the instrument is no longer streamed."""
    async with running(redis_url, redis_prefix) as environment:
        assert environment.newest.last(408065) is None
        environment.push(ltp_packet(408065, 100))
        before = environment.newest.last(408065)
        await until(lambda: environment.pipeline.stats().published == 1)
        after = environment.newest.last(408065)
        json_form = environment.newest.last_json(408065)
        environment.newest.forget("primary", [408065])
        assert environment.newest.last(408065) is None
    assert before is not None
    assert after is not None
    assert json_form is not None
    assert (before.tick.last_price, before.tick.seq) == (1.0, 0)
    assert (after.tick.tradingsymbol, after.tick.seq) == ("INFY", 1)
    assert json.loads(json_form)["seq"] == 1


async def test_an_error_of_redis_is_counted_and_reported_and_ticks_go_on(
    redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """The hash of last values is a string: publishing goes on."""
    await redis.set(f"{redis_prefix}last", "not a hash")
    pubsub = await subscribed(redis, f"{redis_prefix}ticks:*")
    async with running(redis_url, redis_prefix) as environment:
        await until(lambda: environment.publisher.ready)
        for price in (1, 2):
            environment.push(ltp_packet(5, price * 100))
            assert (await read(pubsub))["last_price"] == price
        await until(lambda: environment.pipeline.stats().refused == 2)
        assert environment.pipeline.stats().published == 0
        assert environment.publisher.refusal.code == "WRONGTYPE"
        assert environment.publisher.connected
    await pubsub.aclose()


async def test_a_connection_that_is_lost_between_the_chunks_of_a_batch_loses_no_instrument(
    redis_url: str, redis_prefix: str
) -> None:
    """The rest of the batch does not go to the next connection as if it were whole: all of it goes again.

    Thirty chunks: the loss is noticed a few rounds of the event loop after the second one. On a busy machine the next
    connection may be there before the last chunk.
    """
    written = 0
    noticed_by_the_end = False

    def cut_in_the_second_chunk(token: int, payload: bytes) -> None:
        nonlocal written, noticed_by_the_end
        written += 1
        if written == 150:
            proxy.drop_connections()
        if written == 3000:
            noticed_by_the_end = environment.publisher.last_error is not None or environment.publisher.reconnects == 1

    async with (
        TcpProxy.to(redis_url) as proxy,
        running(proxy.url, redis_prefix, listeners=[cut_in_the_second_chunk]) as environment,
    ):
        await until(lambda: environment.publisher.ready)
        environment.push(*(ltp_packet(token, 100) for token in range(3000)))
        await until(lambda: environment.pipeline.stats().published == 3000)
        assert noticed_by_the_end, "the loss was not noticed between two chunks"
        assert environment.publisher.reconnects == 1
        assert environment.pipeline.stats().conflated == 0
    assert written == 3000, "listeners got each tick once"
