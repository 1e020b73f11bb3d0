"""The tick path's connection to Redis: where it goes, how it logs in, and a protocol that only counts replies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from pydantic import SecretStr
from redis.asyncio import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import parse_url

from app.errors import SettingsError
from app.market.ticks.redis_commands import ReplyCounter, pack


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTarget:
    """Where to connect and how to log in; ``username`` and ``password`` may be empty. ``tls`` None: no TLS."""

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
            arguments = [self.username, password] if self.username else [password]
            commands.append(pack(b"AUTH", *(argument.encode() for argument in arguments)))
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
        raise SettingsError(
            "REDIS_URL", wants="a URL that begins with redis:// or rediss://; unix sockets are not supported"
        )
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


OnReplies: TypeAlias = Callable[[int, list[tuple[int, str]]], None]
"""Called with the number of new reply lines, and position and text of each error among them."""


class RespConnection(asyncio.Protocol):
    """One connection. ``on_replies`` is called as reply lines arrive.

    ``closed`` is done once the connection is lost or dropped; its result is the reason.
    """

    def __init__(self, *, on_replies: OnReplies) -> None:
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
        """Write without waiting. What the socket does not take is queued; the caller bounds that by sending no batch
        before the last one is settled.

        On a connection that is lost it does nothing: the task that waits for ``closed`` has not run yet.
        """
        if self._transport is not None and not self.closed.done() and not self._transport.is_closing():
            self._transport.write(data)

    def drop(self, reason: str) -> None:
        """Close immediately; what is still queued is lost."""
        if not self.closed.done():
            self.closed.set_result(reason)
        if self._transport is not None:
            self._transport.abort()
