"""One change of one file, and the key by which it is known when its lines have moved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Key: TypeAlias = tuple[str, str, str, str]
"""Path, function, and the changed lines before and after, without their indentation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replace ``source[start:end]``, offsets in bytes of the UTF-8 source, by ``new``."""

    start: int
    end: int
    new: str
    operator: str  # which kind of change it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A change of the file at ``path``, relative to the repository."""

    path: str
    function: str  # qualified name; empty at module level
    lines: tuple[int, int]  # first and last line of the statement that is changed, or of its head
    edit: Edit
    before: str  # the changed lines, each run of white space as one space
    after: str

    @property
    def key(self) -> Key:
        return (self.path, self.function, self.before, self.after)

    def applied_to(self, source: str) -> str:
        """The file's text with the change."""
        return _apply(source.encode(), self.edit).decode()

    def __str__(self) -> str:
        where = f"{self.path}:{self.lines[0]} {self.function}".rstrip()
        return f"{where} ({self.edit.operator})\n    - {self.before}\n    + {self.after}"


def made_of(source: str, edit: Edit) -> tuple[str, str]:
    """The whole lines that the edit touches, before and after it."""
    raw = source.encode()
    first = raw.rfind(b"\n", 0, edit.start) + 1
    last = raw.find(b"\n", edit.end)
    last = len(raw) if last < 0 else last
    changed = raw[first : edit.start] + edit.new.encode() + raw[edit.end : last]
    return _on_one_line(raw[first:last].decode()), _on_one_line(changed.decode())


def _apply(raw: bytes, edit: Edit) -> bytes:
    return raw[: edit.start] + edit.new.encode() + raw[edit.end :]


def _on_one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def line_starts(source: str) -> list[int]:
    """The offset in bytes of each line; the first line is at index 1, as in ``ast``."""
    return [0, *_offsets(source.encode())]


def _offsets(raw: bytes) -> Iterator[int]:
    at = 0
    for line in raw.splitlines(keepends=True):
        yield at
        at += len(line)
