"""A proxy process before the simulator that records when the first byte of each order arrives."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from benchmarks import machine

_ORDER = b"POST /orders/"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, arrivals: list[int] | None) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            if arrivals is not None and _ORDER in data:
                arrivals.append(time.monotonic_ns())
            writer.write(data)
    writer.close()


async def _serve(target_port: int, pipe: Connection) -> None:
    arrivals: list[int] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target_port)
        await asyncio.gather(_pump(reader, back, arrivals), _pump(there, writer, None))

    async with await asyncio.start_server(pass_on, "127.0.0.1", 0) as server:
        pipe.send(server.sockets[0].getsockname()[1])
        while await asyncio.to_thread(pipe.recv) != "stop":
            pipe.send(list(arrivals))
            arrivals.clear()


def serve_proxy(target_port: int, core: int, pipe: Connection) -> None:
    """Sends its port; then, for each message, the arrivals since the last one (``time.monotonic_ns``)."""
    machine.pin(core)
    asyncio.run(_serve(target_port, pipe))
