"""Recordings of a ticker socket: the file, and the player that sends its frames again.

A recording is a header line, `KITEFRAMES 1` and a newline, then one entry for each binary frame in the order of
receipt: 8 bytes, the receipt in microseconds since the epoch; 4 bytes, the length of the frame; the frame as received.
Integers are unsigned and big-endian. Heartbeats are not recorded. An incomplete last entry, as a killed recorder leaves
it, ends the recording.

A simulator that replays marks its sockets and answers (`MARK`, `SOURCE_HEADER`), so that no client takes the prices of
another day for present ones.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from simulator.settings import ReplaySettings

HEADER: Final = b"KITEFRAMES 1\n"
MAX_FRAME_BYTES: Final = 1 << 24
"""More than the 65,535 packets of the largest container need."""
MARK: Final = "replay"
"""The first text on every socket is `{"type": "message", "data": "replay"}`; Kite's clients ignore it."""
SOURCE_HEADER: Final = (b"x-simulator-source", b"replay")
"""On every HTTP answer, upgrades included."""

_ENTRY: Final = struct.Struct(">QI")
_COUNT: Final = struct.Struct(">H")


class BadRecordingError(ValueError):
    """A file that cannot be replayed; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame of a recording, and when it was received, in microseconds since the epoch."""

    received_at_us: int
    frame: bytes


def encode_entry(recorded: RecordedFrame) -> bytes:
    """The bytes of an entry. Raises ValueError for a frame above `MAX_FRAME_BYTES`."""
    if len(recorded.frame) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(recorded.frame)} bytes is above {MAX_FRAME_BYTES}")
    return _ENTRY.pack(recorded.received_at_us, len(recorded.frame)) + recorded.frame


def check_recording(path: Path) -> None:
    """Checks that a file has the header and at least one complete frame. Raises BadRecordingError."""
    if next(read_recording(path), None) is None:
        raise BadRecordingError(f"{path}: there is no whole frame in it")


def read_recording(path: Path) -> Iterator[RecordedFrame]:
    """The frames, read one by one. Raises BadRecordingError."""
    try:
        with path.open("rb") as file:
            if file.readline(len(HEADER)) != HEADER:
                raise BadRecordingError(f"{path}: not a recording (it does not start with {HEADER.decode().strip()!r})")
            yield from _read_entries(file, path=path)
    except OSError as error:
        raise BadRecordingError(f"{path}: {error.strerror}") from error


def _read_entries(file: BinaryIO, *, path: Path) -> Iterator[RecordedFrame]:
    while len(head := file.read(_ENTRY.size)) == _ENTRY.size:
        received_at_us, length = _ENTRY.unpack(head)
        if length > MAX_FRAME_BYTES:
            raise BadRecordingError(f"{path}: a frame of {length} bytes before byte {file.tell()}; the file is damaged")
        frame = file.read(length)
        if len(frame) < length:
            return
        yield RecordedFrame(received_at_us, frame)


def cut_frame(frame: bytes) -> list[bytes]:
    """The packets of a container; of a damaged one, those before the damage."""
    packets: list[bytes] = []
    if len(frame) < _COUNT.size:
        return packets
    at = _COUNT.size
    for _ in range(_COUNT.unpack_from(frame)[0]):
        if at + _COUNT.size > len(frame):
            break
        end = at + _COUNT.size + _COUNT.unpack_from(frame, at)[0]
        packet = frame[at + _COUNT.size : end]
        if end > len(frame) or len(packet) < 4:
            break
        packets.append(packet)
        at = end
    return packets


class Player:
    """Plays a recording: calls `show` with the packets of each frame, once `start` was called.

    At speed 2 the time between two frames is half of what it was. A frame that is late is sent immediately, so that
    delays do not add up.
    """

    def __init__(self, settings: ReplaySettings, *, show: Callable[[Sequence[bytes]], None]) -> None:
        self._settings = settings
        self._show = show
        self._started = asyncio.Event()
        self.frames_played = 0
        self.rounds_finished = 0

    def start(self) -> None:
        self._started.set()

    async def run(self) -> None:
        """Runs until cancelled: after the last frame it plays again, or does nothing more. Raises BadRecordingError."""
        await self._started.wait()
        await self._play()
        while self._settings.repeat == "loop":
            await self._play()
        await asyncio.Event().wait()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        started, first_us = loop.time(), None
        for recorded in read_recording(self._settings.file):
            first_us = recorded.received_at_us if first_us is None else first_us
            due = started + (recorded.received_at_us - first_us) / 1e6 / self._settings.speed
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._show(cut_frame(recorded.frame))
            self.frames_played += 1
        self.rounds_finished += 1

    def stats(self) -> dict[str, object]:
        """The part of `GET /_sim/stats` that is about the recording."""
        return {
            "file": self._settings.file.name,
            "speed": self._settings.speed,
            "repeat": self._settings.repeat,
            "state": self._state(),
            "frames_played": self.frames_played,
            "rounds_finished": self.rounds_finished,
        }

    def _state(self) -> Literal["waiting", "playing", "ended"]:
        if not self._started.is_set():
            return "waiting"
        return "ended" if self._settings.repeat == "once" and self.rounds_finished else "playing"
