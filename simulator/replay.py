"""Recordings of a ticker socket: the file, and the player that sends one again in its own time.

A recording is a header line, `KITEFRAMES 1` and a newline, then one entry for each binary frame in the order of
receipt: 8 bytes, the receipt in microseconds since the epoch; 4 bytes, the length of the frame; the frame as it came.
Integers are unsigned and big-endian. Heartbeats are not recorded. A last entry that is cut short, as a recorder that
was killed leaves it, ends the recording.

Whoever replays says so: prices of another day must never be taken for prices of now. See `MARK` and `SOURCE_HEADER`.
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
"""More than 65,535 packets, the most that a container counts, can take."""
MARK: Final = "replay"
"""The first text on every socket is `{"type": "message", "data": "replay"}`; clients of Kite pass it over."""
SOURCE_HEADER: Final = (b"x-simulator-source", b"replay")
"""On every HTTP answer, upgrades included."""

_ENTRY: Final = struct.Struct(">QI")
_COUNT: Final = struct.Struct(">H")


class BadRecordingError(ValueError):
    """A file that cannot be replayed; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    received_at_us: int
    frame: bytes


def encode_entry(recorded: RecordedFrame) -> bytes:
    """Raises ValueError for a frame that no container can be."""
    if len(recorded.frame) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(recorded.frame)} bytes is above {MAX_FRAME_BYTES}")
    return _ENTRY.pack(recorded.received_at_us, len(recorded.frame)) + recorded.frame


def check_recording(path: Path) -> None:
    """Raises BadRecordingError for what has no header of ours or not one whole frame."""
    if next(read_recording(path), None) is None:
        raise BadRecordingError(f"{path}: there is no whole frame in it")


def read_recording(path: Path) -> Iterator[RecordedFrame]:
    """The frames one by one, never the whole file at once. Raises BadRecordingError."""
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
    """The packets of a container, those of a damaged one up to the damage."""
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
    """Plays a recording to `show`, frame by frame as lists of packets. It starts with the first subscription.

    At `speed` 2 the gaps between frames are half of what they were; a frame that is late is sent at once, so that the
    whole never drifts.
    """

    def __init__(self, settings: ReplaySettings, *, show: Callable[[Sequence[bytes]], None]) -> None:
        self._settings = settings
        self._show = show
        self._wanted = asyncio.Event()
        self.frames_played = 0
        self.rounds_finished = 0

    def start(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        """For ever: after the last frame it plays again, or stays silent. Raises BadRecordingError."""
        await self._wanted.wait()
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

    def report(self) -> dict[str, object]:
        return {
            "file": self._settings.file.name,
            "speed": self._settings.speed,
            "repeat": self._settings.repeat,
            "state": self._state(),
            "frames_played": self.frames_played,
            "rounds_finished": self.rounds_finished,
        }

    def _state(self) -> Literal["waiting", "playing", "ended"]:
        if not self._wanted.is_set():
            return "waiting"
        return "ended" if self._settings.repeat == "once" and self.rounds_finished else "playing"
