"""The broker of the tick benchmark: a process that sends full-mode frames over a WebSocket.

``?mode=closed``: it sends the next frame on each message of the client. ``?mode=paced``: it sends a frame every
``every_us``, with the time of sending (microseconds, monotonic, modulo 2**32) in the field of the traded volume.
"""

from __future__ import annotations

import asyncio
import struct
import time
from multiprocessing.connection import Connection
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

from benchmarks.machine import pin

PACKET = 184
VOLUME_AT = 16
PRICE = 150_000
INSTRUMENT_SETS = 10
"""Paced frames alternate between so many sets of instruments: not every instrument ticks in every frame."""

_HEAD = struct.Struct(">16I")
_LEVEL = struct.Struct(">IIHxx")


def token_of(index: int) -> int:
    """A token of the NSE segment."""
    return (1000 + index) << 8 | 1


def frame(*, first: int, count: int, volume: int) -> bytearray:
    """``count`` full packets in one container."""
    built = bytearray(struct.pack(">H", count))
    now = int(time.time())
    for index in range(first, first + count):
        price = PRICE + index
        head = _HEAD.pack(
            token_of(index), price, 75, price - 5, volume, 412_500, 398_775, price, price + 900, price - 900,
            price - 50, now, 1_250_325, 1_301_250, 1_198_800, now,
        )  # fmt: skip
        levels = b"".join(_LEVEL.pack(75 * (n + 1), price + (n if n > 4 else -n), n + 1) for n in range(10))
        built += struct.pack(">H", PACKET) + head + levels
    return built


def serve_frames(core: int, pipe: Connection) -> None:
    """Sends the port, and serves until a message comes through the pipe."""
    pin(core)
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    async with serve(_talk, "127.0.0.1", 0, compression=None, ping_interval=None, max_size=None) as server:
        pipe.send(next(iter(server.sockets)).getsockname()[1])
        await asyncio.to_thread(pipe.recv)


async def _talk(socket: ServerConnection) -> None:
    request = socket.request
    query = parse_qs(urlsplit(request.path if request is not None else "").query)
    numbers = {name: int(values[0]) for name, values in query.items() if name != "mode"}
    if query["mode"] == ["closed"]:
        await _closed(socket, **numbers)
    else:
        await _paced(socket, **numbers)


async def _closed(socket: ServerConnection, *, frames: int, tokens: int) -> None:
    message = bytes(frame(first=0, count=tokens, volume=1))
    for _ in range(frames):
        await socket.recv()
        await socket.send(message)
    await socket.wait_closed()


async def _paced(socket: ServerConnection, *, frames: int, batch: int, every_us: int) -> None:
    messages = [frame(first=batch * number, count=batch, volume=0) for number in range(INSTRUMENT_SETS)]
    await socket.recv()
    due = time.monotonic()
    for number in range(frames):
        message = messages[number % INSTRUMENT_SETS]
        due += every_us / 1e6
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        stamp = struct.pack(">I", time.monotonic_ns() // 1000 % 2**32)
        for at in range(4 + VOLUME_AT, len(message), PACKET + 2):
            message[at : at + 4] = stamp
        await socket.send(bytes(message))
    await socket.wait_closed()
