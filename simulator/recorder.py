"""Records the frames of any ticker that speaks Kite's protocol (`simulator.replay` describes the file).

So a session of the real broker can be replayed later. The recorder reconnects and goes on in the same file; a refused
upgrade ends it, because an expired token does not become valid again.
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
"""A connection without any frame for so long counts as lost; a good one has a heartbeat every second or two."""
RECONNECT_AFTER_S: Final = 5.0
TOKENS_PER_MESSAGE: Final = 500


class RecordingError(Exception):
    """The recording cannot begin or go on; the text says why, without the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """What to record. `ws_url` is the address without a query, such as `wss://ws.kite.trade`."""

    ws_url: str
    api_key: str
    access_token: str
    tokens: Sequence[int]
    mode: Mode = "full"


async def record(ticker: Ticker, path: Path, *, seconds: float | None) -> int:
    """Records for `seconds` (None: until cancelled); returns the number of frames written.

    Raises RecordingError, also when the file exists.
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
                await record_connections(ticker, writer)
    return writer.frames


@dataclass(slots=True)
class FrameWriter:
    """Appends frames with the time of their receipt; `frames` counts them."""

    file: BinaryIO
    frames: int = 0

    def write(self, frame: bytes) -> None:
        entry = encode_entry(RecordedFrame(time.time_ns() // 1_000, frame))
        self.file.write(entry)
        self.frames += 1


async def record_connections(ticker: Ticker, writer: FrameWriter) -> None:
    """Records one connection after the other, until cancelled. Raises RecordingError for a refused upgrade."""
    while True:
        try:
            await record_connection(ticker, writer)
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            raise RecordingError(f"{ticker.ws_url} refused the upgrade with HTTP {status}") from None
        except (OSError, ConnectionClosed, InvalidHandshake, SilentError):
            await asyncio.sleep(RECONNECT_AFTER_S)


async def record_connection(ticker: Ticker, writer: FrameWriter) -> None:
    """Records until the connection ends. Texts (orders, messages) are not recorded."""
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
    """Subscribes to the ticker's tokens in its mode."""
    for at in range(0, len(ticker.tokens), TOKENS_PER_MESSAGE):
        part = list(ticker.tokens[at : at + TOKENS_PER_MESSAGE])
        await socket.send(json.dumps({"a": "subscribe", "v": part}))
        await socket.send(json.dumps({"a": "mode", "v": [ticker.mode, part]}))


class SilentError(Exception):
    """No frame came for `SILENCE_S`."""


async def next_frame(socket: ClientConnection) -> str | bytes:
    """The next frame. Raises SilentError after `SILENCE_S`."""
    try:
        async with asyncio.timeout(SILENCE_S):
            return await socket.recv()
    except TimeoutError:
        raise SilentError from None
