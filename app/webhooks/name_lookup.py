"""Resolves the names of endpoints, in threads of its own: a name server that hangs delays no other endpoint."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

LOOKUP_TIMEOUT_S = 3.0
MAX_LOOKUPS = 16
"""Names that are being resolved at once, one thread each; the system gives up a name after about half a minute."""

Resolve = Callable[[str], Sequence[str]]
"""A blocking function from a name to its addresses. Raises OSError."""


class NameNotFound(Exception):
    """The name has no address, or the name server did not answer in time."""


def resolve(host: str) -> list[str]:
    """The addresses of a name as this machine sees them; a literal address is its own."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class NameLookup:
    """``addresses`` asks ``resolve``; requests for a name that is being resolved share its answer."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._threads = ThreadPoolExecutor(max_workers=MAX_LOOKUPS, thread_name_prefix="webhook-names")
        self._running: dict[str, Future[Sequence[str]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """Every address of the name, at least one. Nothing is remembered. Raises NameNotFound."""
        running = self._running.get(host)
        if running is None or running.done():
            self._running = {name: future for name, future in self._running.items() if not future.done()}
            running = self._running[host] = self._threads.submit(self._resolve, host)
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                found = await asyncio.shield(asyncio.wrap_future(running))
        except TimeoutError as error:
            raise NameNotFound(f"{host} cannot be resolved in {LOOKUP_TIMEOUT_S:g} s") from error
        except (OSError, UnicodeError) as error:
            raise NameNotFound(f"{host} cannot be resolved: {error}") from error
        if not found:
            raise NameNotFound(f"{host} has no address")
        return found

    def close(self) -> None:
        """Start no further thread; those that wait for a name server end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
