"""Connects to an endpoint at the address that was checked, and at no other: the network below ``httpcore``.

A name is resolved once, every address of it must be allowed, and the connection goes to that literal address. TLS still
asks for the name and checks the certificate of the name. What comes back is read up to a bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from ssl import SSLContext
from typing import Any, Protocol

import httpcore

from app.webhooks.name_lookup import NameLookup
from app.webhooks.public_addresses import is_loopback, parse_address, refusal
from app.webhooks.target import Target

CONNECT_TIMEOUT_S = 3.0
MAX_ADDRESSES = 4
"""Addresses of a name that are tried one after another."""

READ_BYTES = 4096
"""Read at once, so that little of a long answer is taken from the wire."""


class AddressRefused(Exception):
    """The name leads to an address that must not be connected to; the text says which."""


class TooLarge(Exception):
    """The answer is longer than anything that is read of it."""


class Dialer(Protocol):
    """Opens a TCP connection to a literal address; ``httpcore``'s backends are such."""

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> httpcore.AsyncNetworkStream: ...


class CheckedConnection(httpcore.AsyncNetworkBackend):
    """For requests to one target. ``address`` is the one that was connected to, None before.

    ``begin`` is called before each further request: the bound on what is read holds for one answer.
    """

    def __init__(self, target: Target, *, names: NameLookup, dialer: Dialer, max_bytes: int) -> None:
        self._target = target
        self._names = names
        self._dialer = dialer
        self._max_bytes = max_bytes
        self._budget = _Budget(max_bytes)
        self.address: str | None = None

    def begin(self) -> None:
        """Another request follows on the same connection."""
        self._budget.left = self._max_bytes

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the target's, which was checked
        port: int,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002 - ours is the shorter one
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Raises AddressRefused, NameNotFound, and httpcore's errors of a connection that cannot be made."""
        addresses = await self._names.addresses(self._target.host)
        for address in addresses:
            check_address(self._target, address)
        last: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses[:MAX_ADDRESSES]:
            try:
                stream = await self._dialer.connect_tcp(address, self._target.port, timeout=CONNECT_TIMEOUT_S)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                last = error
                continue
            return await self._checked(stream, address)
        raise last or httpcore.ConnectError("no address")

    async def _checked(self, stream: httpcore.AsyncNetworkStream, address: str) -> httpcore.AsyncNetworkStream:
        peer = stream.get_extra_info("server_addr")
        if peer is None or parse_address(str(peer[0])) != parse_address(address):
            await stream.aclose()
            raise AddressRefused(f"connected to {peer} instead of {address}")
        self.address = address
        return _BoundedStream(stream, budget=self._budget)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002 - the signature is the library's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        raise AddressRefused(f"{path} is no address")


def check_address(target: Target, address: str) -> None:
    """Raises AddressRefused for an address that a request to this target must not be sent to."""
    reason = None if is_loopback(address) else "is not this machine"
    if not target.loopback:
        reason = refusal(address)
    if reason is not None:
        raise AddressRefused(f"{target.host} leads to {address}, which {reason}")


class _Budget:
    """Bytes that may still be read of one answer."""

    def __init__(self, left: int) -> None:
        self.left = left


class _BoundedStream(httpcore.AsyncNetworkStream):
    """A connection of which no more is read than the budget allows."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, *, budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._budget.left <= 0:
            raise TooLarge("the answer is too long")
        data = await self._stream.read(min(max_bytes, READ_BYTES, self._budget.left), timeout)
        self._budget.left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        encrypted = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _BoundedStream(encrypted, budget=self._budget)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
