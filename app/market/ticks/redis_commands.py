"""Redis' wire for the tick path: commands as bytes, and a connection that only counts replies.

A general client spends most of its time packing commands; here both commands are known, their constant parts are kept
per instrument, and every reply is one line (``:n`` or ``-ERR ...``), so a batch of hundreds of commands costs one write
and one read (RESP2, https://redis.io/docs/latest/develop/reference/protocol-spec/).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from pydantic import SecretStr
from redis.asyncio import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import parse_url

from app.db.redis_keys import RedisKeys
from app.errors import SettingsError


def pack(*arguments: bytes) -> bytes:
    """One command as an array of bulk strings."""
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(item), item) for item in arguments)


class TickCommands:
    """Builds a ``PUBLISH`` for each tick and one ``HSET`` of last ticks for all of them.

    What is constant per instrument is built once and kept: bounded by the number of instruments ever streamed.
    """

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        last = keys.last_ticks.encode()
        self._hset = b"\r\n$4\r\nHSET\r\n$%d\r\n%b\r\n" % (len(last), last)
        self._heads: dict[int, tuple[bytes, bytes]] = {}

    def build(self, ticks: Sequence[tuple[int, bytes]]) -> bytes:
        """The commands for some ticks as ``(token, payload)``; Redis answers with ``len(ticks) + 1`` lines."""
        heads = self._heads
        publish: list[bytes] = []
        fields: list[bytes] = []
        for token, payload in ticks:
            head, name = heads.get(token) or self._heads_of(token)
            bulk = b"$%d\r\n%b\r\n" % (len(payload), payload)
            publish += (head, bulk)
            fields += (name, bulk)
        return b"".join((*publish, b"*%d" % (2 + len(fields)), self._hset, *fields))

    def _heads_of(self, token: int) -> tuple[bytes, bytes]:
        channel = self._keys.ticks(token).encode()
        name = str(token).encode()
        heads = (
            b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n" % (len(channel), channel),
            b"$%d\r\n%b\r\n" % (len(name), name),
        )
        self._heads[token] = heads
        return heads


class ReplyCounter:
    """Counts reply lines as they arrive in pieces, and keeps the text of those that are errors. No IO."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> tuple[int, list[str]]:
        """``(complete lines, error texts among them)`` of the next piece."""
        count = data.count(b"\n")
        if b"-" not in data and not self._tail.startswith(b"-"):
            self._tail = data[data.rfind(b"\n") + 1 :] if count else self._tail + data
            return count, []
        *lines, self._tail = (self._tail + data).split(b"\r\n")
        return len(lines), [line[1:].decode(errors="replace") for line in lines if line.startswith(b"-")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTarget:
    """Where to connect and what to present there; ``username`` and ``password`` may be empty."""

    host: str
    port: int
    db: int = 0
    username: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))
    tls: ssl.SSLContext | None = None

    def greeting(self) -> list[bytes]:
        """The commands that a new connection starts with; each is answered by one line."""
        commands = []
        password = self.password.get_secret_value()
        if password:
            words = [self.username, password] if self.username else [password]
            commands.append(pack(b"AUTH", *(word.encode() for word in words)))
        if self.db:
            commands.append(pack(b"SELECT", str(self.db).encode()))
        commands.append(pack(b"PING"))
        return commands


def parse_target(url: str) -> RedisTarget:
    """Read ``redis://`` and ``rediss://`` as redis-py does, its ``ssl_*`` parameters included. Raises SettingsError."""
    try:
        parsed = dict(parse_url(url))
    except ValueError as error:
        raise SettingsError("REDIS_URL", wants=f"redis://... or rediss://...: {error}") from error
    kind = parsed.get("connection_class")
    if kind is UnixDomainSocketConnection:
        raise SettingsError("REDIS_URL", wants="redis://... or rediss://...; unix sockets are not supported")
    return RedisTarget(
        host=str(parsed.get("host") or "127.0.0.1"),
        port=int(str(parsed.get("port") or 6379)),
        db=int(str(parsed.get("db") or 0)),
        username=str(parsed.get("username") or ""),
        password=SecretStr(str(parsed.get("password") or "")),
        tls=_tls(parsed) if kind is SSLConnection else None,
    )


def _tls(options: dict[str, object]) -> ssl.SSLContext:
    authorities = options.get("ssl_ca_certs")
    context = ssl.create_default_context(cafile=str(authorities) if authorities else None)
    if str(options.get("ssl_check_hostname", "true")).lower() in ("false", "0", "no"):
        context.check_hostname = False
    if str(options.get("ssl_cert_reqs", "required")).lower() in ("none", "optional"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.get("ssl_certfile"):
        key = options.get("ssl_keyfile")
        context.load_cert_chain(str(options["ssl_certfile"]), str(key) if key else None)
    return context


class RespConnection(asyncio.Protocol):
    """One connection. ``send`` writes without waiting; ``on_replies(count, errors)`` is called as lines arrive."""

    def __init__(self, *, on_replies: Callable[[int, list[str]], None]) -> None:
        self._on_replies = on_replies
        self._counter = ReplyCounter()
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._on_replies(*self._counter.feed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(str(exc) if exc else "Redis closed the connection")

    def send(self, data: bytes) -> None:
        """Queued in the transport when the socket is full: the caller bounds it by what it lets be outstanding.

        On a connection that is lost it does nothing: whoever waits for ``closed`` has not woken yet.
        """
        if self._transport is not None and not self.closed.done() and not self._transport.is_closing():
            self._transport.write(data)

    def drop(self, reason: str) -> None:
        """Close at once, whatever is still queued."""
        if not self.closed.done():
            self.closed.set_result(reason)
        if self._transport is not None:
            self._transport.abort()
