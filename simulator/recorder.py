"""Writes what any Kite-speaking ticker sends into a recording (`simulator.replay` has the form of the file).

A client of its own, so that a session of the real broker can be replayed later. It reconnects and goes on in the same
file; a refused upgrade ends it, since a dead token does not come back to life.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from simulator.replay import HEADER, MAX_FRAME_BYTES, RecordedFrame, encode_entry
from simulator.stream.packets import Mode

HEARTBEAT_BYTES: Final = 1
SILENCE_S: Final = 5.0
"""Without any frame for so long the connection counts as lost; a living one has a heartbeat each second or two."""
RECONNECT_AFTER_S: Final = 5.0
TOKENS_PER_MESSAGE: Final = 500


class RecordingError(Exception):
    """The recording cannot begin or go on; the text says why and has no token in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """What to record. `ws_url` is the address without a query, as in `wss://ws.kite.trade`."""

    ws_url: str
    api_key: str
    access_token: str
    tokens: Sequence[int]
    mode: Mode = "full"


async def record(ticker: Ticker, path: Path, *, seconds: float | None) -> int:
    """Records until `seconds` are over (None: until cancelled); the number of frames written.

    Raises RecordingError, also for a file that is there already.
    """
    try:
        file = path.open("xb", buffering=0)
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror}") from error
    with file:
        file.write(HEADER)
        writer = FrameWriter(file)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await record_for_ever(ticker, writer)
    return writer.frames


@dataclass(slots=True)
class FrameWriter:
    file: BinaryIO
    frames: int = 0

    def write(self, frame: bytes) -> None:
        entry = encode_entry(RecordedFrame(time.time_ns() // 1_000, frame))
        self.file.write(entry)
        self.frames += 1


async def record_for_ever(ticker: Ticker, writer: FrameWriter) -> None:
    while True:
        try:
            await record_connection(ticker, writer)
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            raise RecordingError(f"{ticker.ws_url} refused the upgrade with HTTP {status}") from None
        except (OSError, ConnectionClosed, InvalidHandshake, SilentError):
            await asyncio.sleep(RECONNECT_AFTER_S)


async def record_connection(ticker: Ticker, writer: FrameWriter) -> None:
    """Until the connection ends. Texts (orders, messages) are not recorded."""
    query = urlencode({"api_key": ticker.api_key, "access_token": ticker.access_token})
    async with connect(
        f"{ticker.ws_url.rstrip('/')}/?{query}",
        additional_headers={"X-Kite-Version": "3"},
        compression=None,
        ping_interval=None,
        max_size=MAX_FRAME_BYTES,
    ) as socket:
        await subscribe(socket, ticker)
        while True:
            frame = await next_frame(socket)
            if isinstance(frame, bytes) and len(frame) > HEARTBEAT_BYTES:
                writer.write(frame)


async def subscribe(socket: ClientConnection, ticker: Ticker) -> None:
    for at in range(0, len(ticker.tokens), TOKENS_PER_MESSAGE):
        part = list(ticker.tokens[at : at + TOKENS_PER_MESSAGE])
        await socket.send(json.dumps({"a": "subscribe", "v": part}))
        await socket.send(json.dumps({"a": "mode", "v": [ticker.mode, part]}))


class SilentError(Exception):
    """Nothing came for `SILENCE_S`."""


async def next_frame(socket: ClientConnection) -> str | bytes:
    try:
        async with asyncio.timeout(SILENCE_S):
            return await socket.recv()
    except TimeoutError:
        raise SilentError from None
