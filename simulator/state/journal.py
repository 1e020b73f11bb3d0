"""The journal file: a line is appended before a client is answered, and the file is replaced when a day begins.

A line goes to the kernel in one write, so that a killed process loses none (a machine that stops may: nothing is
synced). An incomplete line can only be the last one, and is dropped. One process at a time uses the directory.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from simulator.state.records import VERSION, Commit, Snapshot

FILE_NAME: Final = "journal.jsonl"
MAX_FILE_BYTES: Final = 4 << 30
"""The process stops before the file of a day becomes larger than this, so that it does not fill the disk."""

_encoder = msgspec.json.Encoder(decimal_format="string")
_commits = msgspec.json.Decoder(Commit)
_snapshots = msgspec.json.Decoder(Snapshot)


class JournalError(Exception):
    """The journal cannot be used; the text names the file and the reason."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The content of a journal: how the day began, and every change since."""

    snapshot: Snapshot
    commits: tuple[Commit, ...]


class Journal:
    """An open journal. Call `start` or `resume` before the first `append`, and `start` again when a day begins."""

    def __init__(self, directory: Path) -> None:
        """Locks the directory. Raises JournalError when another process uses it or it cannot be created."""
        self._path = directory / FILE_NAME
        self._file = -1
        self._size = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JournalError(f"cannot use {directory}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise JournalError(f"{directory} is in use by another simulator") from None

    def read(self) -> Saved | None:
        """What an earlier process wrote, without an incomplete last line; None when there is nothing.

        Raises JournalError for a file that is no journal, or of another version.
        """
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        lines = list(whole_lines(raw))
        if not lines:
            return None
        try:
            snapshot = _snapshots.decode(lines[0])
            commits = tuple(map(_commits.decode, lines[1:]))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JournalError(f"{self._path} is not a journal of the simulator: {error}") from error
        if snapshot.version != VERSION:
            raise JournalError(f"{self._path} has version {snapshot.version}, this simulator reads {VERSION}")
        return Saved(snapshot, commits)

    def start(self, snapshot: Snapshot) -> None:
        """Begins a new file with `snapshot`. It replaces the old one when it is complete."""
        fresh = self._path.with_suffix(".new")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        line = _encoder.encode(snapshot) + b"\n"
        write_all(file, line)
        fresh.replace(self._path)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = file, len(line)

    def resume(self) -> None:
        """Opens the file that `read` found for appending, and cuts off an incomplete last line."""
        raw = self._path.read_bytes()
        self._size = raw.rfind(b"\n") + 1
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(self._file, self._size)

    def append(self, commit: Commit) -> None:
        """Writes a line. Raises JournalError above `MAX_FILE_BYTES`."""
        line = _encoder.encode(commit) + b"\n"
        self._size += len(line)
        if self._size > MAX_FILE_BYTES:
            raise JournalError(f"{self._path} has reached {MAX_FILE_BYTES} bytes; begin a new day (POST /_sim/reset)")
        write_all(self._file, line)

    def close(self) -> None:
        """Closes the file and unlocks the directory."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        os.close(self._lock)


def whole_lines(raw: bytes) -> Iterator[bytes]:
    """The lines that end with a line feed; what follows the last one is incomplete."""
    yield from raw.split(b"\n")[:-1]


def write_all(file: int, line: bytes) -> None:
    """Usually one write; after a short one (a signal, a full disk) it writes the rest."""
    view = memoryview(line)
    while view:
        view = view[os.write(file, view) :]
