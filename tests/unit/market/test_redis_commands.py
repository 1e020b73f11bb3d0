"""Redis' wire as we write and read it."""

from __future__ import annotations

import asyncio
import itertools
import ssl

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from app.db.redis_keys import RedisKeys
from app.errors import SettingsError
from app.market.ticks.redis_commands import ReplyCounter, TickCommands, pack, unconfirmed_ticks
from app.market.ticks.redis_connection import RespConnection, parse_target


def test_commands_are_arrays_of_bulk_strings() -> None:
    """Lengths are of bytes."""
    assert pack(b"SELECT", b"3") == b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"


def test_a_chunk_is_a_publish_per_tick_and_one_hset() -> None:
    """With the same payload in both."""
    built = TickCommands(RedisKeys("ticker:")).build([(5, b"{}"), (408065, b"[1]")])
    assert built == (
        pack(b"PUBLISH", b"ticker:ticks:5", b"{}")
        + pack(b"PUBLISH", b"ticker:ticks:408065", b"[1]")
        + pack(b"HSET", b"ticker:last", b"5", b"{}", b"408065", b"[1]")
    )


REPLIES = [":0", ":12", "+OK", "-ERR unknown", "-READONLY no"]


@given(replies=st.lists(st.sampled_from(REPLIES), max_size=12), cuts=st.lists(st.integers(0, 150), max_size=6))
def test_replies_are_counted_wherever_the_pieces_are_cut(replies: list[str], cuts: list[int]) -> None:
    """And each error's text is kept whole."""
    wire = "".join(f"{reply}\r\n" for reply in replies).encode()
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    counter = ReplyCounter()
    count, errors = 0, list[tuple[int, str]]()
    for start, end in itertools.pairwise(edges):
        lines, found = counter.feed(wire[start:end])
        errors += [(count + at, text) for at, text in found]
        count += lines
    assert count == len(replies)
    assert errors == [(at, reply[1:]) for at, reply in enumerate(replies) if reply.startswith("-")]


@pytest.mark.parametrize(
    ("chunks", "refused", "unconfirmed"),
    [
        ([3, 2], [], 0),
        ([3, 2], [0], 1),
        ([3, 2], [2, 4], 2),  # the last PUBLISH of the first chunk, the first of the second
        ([3, 2], [3], 3),  # the last values of the first chunk
        ([3, 2], [6], 2),
        ([3, 2], [0, 1, 2, 3], 3),  # a chunk is not counted twice
        ([3, 2], range(7), 5),
        ([100], range(100), 100),  # no right to the channel
    ],
)
def test_a_tick_is_confirmed_by_its_channel_and_its_last_value(
    chunks: list[int], refused: list[int], unconfirmed: int
) -> None:
    """Both replies must be good; the last values of a chunk have one reply."""
    assert unconfirmed_ticks(chunks, refused) == unconfirmed


def test_an_address_with_everything() -> None:
    """User, password (percent-decoded) and database become the greeting."""
    target = parse_target("redis://me:p%40ss@cache:7000/3")
    assert (target.host, target.port, target.tls) == ("cache", 7000, None)
    assert target.greeting() == [pack(b"AUTH", b"me", b"p@ss"), pack(b"SELECT", b"3"), pack(b"PING")]
    assert "p@ss" not in repr(target)


def test_a_bare_address_only_pings() -> None:
    """Defaults are Redis' own."""
    target = parse_target("redis://localhost")
    assert (target.port, target.greeting()) == (6379, [pack(b"PING")])


def test_tls_is_verified_unless_the_address_disables_it() -> None:
    """With redis-py's parameters."""
    strict = parse_target("rediss://cache/0").tls
    lax = parse_target("rediss://cache/0?ssl_cert_reqs=none").tls
    assert strict is not None
    assert lax is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("url", ["http://cache", "unix:///run/redis.sock", "cache:6379"])
def test_other_addresses_are_refused_by_name(url: str) -> None:
    """The setting is named."""
    with pytest.raises(SettingsError, match="REDIS_URL"):
        parse_target(url)


def test_a_send_on_a_connection_that_was_lost_a_moment_ago_is_no_failure() -> None:
    """uvloop raises where asyncio is silent: a tick that comes before the loss is noticed must not end the pipeline."""

    async def lose_and_send() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(
                lambda: RespConnection(on_replies=lambda count, errors: None), "127.0.0.1", port
            )
            await connection.closed
            connection.send(b"PING\r\n")
            connection.drop("it is over")
            connection.send(b"PING\r\n")

    uvloop.run(lose_and_send())
