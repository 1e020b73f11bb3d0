"""What keyless clients send to hurt a service, and what others notice meanwhile: requests and memory are measured."""

import asyncio
import base64
import contextlib
import http.client
import os
import re
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from embedded.ports import LOOPBACK
from tests.e2e.environment import API_KEY, Service

MIB = 1024 * 1024
PAUSE_S = 0.02
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
)


@dataclass
class Noticed:
    """What others noticed: seconds of each answer, failures, the largest memory in bytes, the longest loop lag."""

    memory_before: int
    memory: int = 0
    loop_lag: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"probe": [], "key holder": []})
    failures: list[str] = field(default_factory=list)

    @property
    def grown(self) -> int:
        return self.memory - self.memory_before


class Raw(asyncio.Protocol):
    """One connection that sends what it likes; ``said`` is what the service has answered."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.ended = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.transport: asyncio.Transport

    @classmethod
    async def to(cls, service: Service, first: bytes = b"") -> "Raw":
        _, raw = await asyncio.get_running_loop().create_connection(cls, LOOPBACK, service.port)
        raw.transport.write(first)
        return raw

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.said += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def flood(self, piece: bytes, *, size: int) -> int:
        """Send a piece again and again; returns the bytes until the service disconnected."""
        sent = 0
        while sent < size and not self.transport.is_closing():
            self.transport.write(piece)
            sent += len(piece)
            await self._writable.wait()
            await asyncio.sleep(0)
        return sent

    async def rest(self, *, within_s: float = 10.0) -> bytes:
        """Whatever the service says until it disconnects. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            await self.ended.wait()
        return bytes(self.said)


def handshake(path: str) -> bytes:
    return HANDSHAKE.format(path=path, key=base64.b64encode(os.urandom(16)).decode()).encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame of a client; the mask is zero."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def memory_of(service: Service) -> int:
    """Resident bytes of the service's process."""
    assert service.child is not None
    text = Path(f"/proc/{service.child.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024


def get(service: Service, path: str, **headers: str) -> tuple[int, str]:
    """Status and body of a request on a connection of its own."""
    connection = http.client.HTTPConnection(LOOPBACK, service.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def send_meanwhile(service: Service, noticed: Noticed, stop: threading.Event) -> None:
    """A probe and a request with the key, again and again."""
    kinds: dict[str, tuple[str, dict[str, str]]] = {
        "probe": ("/health/live", {}),
        "key holder": ("/accounts", {"X-API-Key": API_KEY}),
    }
    while not stop.wait(PAUSE_S):
        for kind, (path, headers) in kinds.items():
            begun = time.monotonic()
            try:
                status, _ = get(service, path, **headers)
                if status != 200:
                    noticed.failures.append(f"{kind}: {status}")
            except (OSError, http.client.HTTPException) as error:
                noticed.failures.append(f"{kind}: {error!r}")
            noticed.seconds[kind].append(time.monotonic() - begun)
        noticed.memory = max(noticed.memory, memory_of(service))


def loop_lag(service: Service) -> float:
    """The longest time in seconds that the event loop stood still since the last call."""
    _, text = get(service, "/metrics", **{"X-API-Key": API_KEY})
    found = re.search(r"^ticker_event_loop_lag_seconds (\S+)", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


@asynccontextmanager
async def others_noticing(service: Service) -> AsyncIterator[Noticed]:
    """Send ordinary requests while the block attacks."""
    loop_lag(service)
    noticed = Noticed(memory_before=memory_of(service))
    stop = threading.Event()
    meanwhile = asyncio.create_task(asyncio.to_thread(send_meanwhile, service, noticed, stop))
    try:
        yield noticed
    finally:
        stop.set()
        await meanwhile
    noticed.loop_lag = await asyncio.to_thread(loop_lag, service)


async def connections(service: Service, count: int, first: bytes = b"") -> list[Raw]:
    """So many connections that send ``first`` and no more; the last ones may be without a place."""
    return [await Raw.to(service, first) for _ in range(count)]
