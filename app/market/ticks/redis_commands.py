"""The tick path's commands to Redis as bytes, and its replies counted. Pure.

A general client spends most of its time packing commands. Here both commands are known, their constant parts are kept
for each instrument, and every reply is one line (``:n`` or ``-ERR ...``), so that a batch of hundreds of commands costs
one write and one read (RESP2, https://redis.io/docs/latest/develop/reference/protocol-spec/).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from app.db.redis_keys import RedisKeys


def pack(*arguments: bytes) -> bytes:
    """One command as an array of bulk strings."""
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(item), item) for item in arguments)


class TickCommands:
    """Builds a ``PUBLISH`` for each tick and one ``HSET`` of last ticks for all of them.

    The constant part for each instrument is built once and kept: bounded by the instruments that were ever streamed.
    """

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        last = keys.last_ticks.encode()
        self._hset = b"\r\n$4\r\nHSET\r\n$%d\r\n%b\r\n" % (len(last), last)
        self._heads: dict[int, tuple[bytes, bytes]] = {}

    def build(self, ticks: Sequence[tuple[int, bytes]]) -> bytes:
        """The commands for some ticks as ``(token, payload)``; Redis answers with ``len(ticks) + 1`` lines."""
        heads = self._heads
        publish: list[bytes] = []
        fields: list[bytes] = []
        for token, payload in ticks:
            head, name = heads.get(token) or self._heads_of(token)
            bulk = b"$%d\r\n%b\r\n" % (len(payload), payload)
            publish += (head, bulk)
            fields += (name, bulk)
        return b"".join((*publish, b"*%d" % (2 + len(fields)), self._hset, *fields))

    def _heads_of(self, token: int) -> tuple[bytes, bytes]:
        channel = self._keys.ticks(token).encode()
        name = str(token).encode()
        heads = (
            b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n" % (len(channel), channel),
            b"$%d\r\n%b\r\n" % (len(name), name),
        )
        self._heads[token] = heads
        return heads


def unconfirmed_ticks(chunks: Sequence[int], refused: Iterable[int]) -> int:
    """How many ticks of a batch Redis has not taken wholly, by the positions of its ``refused`` commands.

    ``chunks`` are the ticks of each chunk, which is answered by as many lines and one for its last values: if that one
    is refused, none of the chunk's ticks is the last value now.
    """
    found: set[tuple[int, int]] = set()
    starts = list(accumulate((size + 1 for size in chunks), initial=0))
    for position in refused:
        chunk = bisect_right(starts, position) - 1
        size, within = chunks[chunk], position - starts[chunk]
        found.update((chunk, tick) for tick in (range(size) if within == size else (within,)))
    return len(found)


class ReplyCounter:
    """Counts reply lines as they arrive in pieces, and keeps the text of those that are errors. No IO."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> tuple[int, list[tuple[int, str]]]:
        """The complete lines of the next piece: their number, and position and text of each error among them."""
        count = data.count(b"\n")
        if b"-" not in data and not self._tail.startswith(b"-"):
            self._tail = data[data.rfind(b"\n") + 1 :] if count else self._tail + data
            return count, []
        *lines, self._tail = (self._tail + data).split(b"\r\n")
        errors = [(at, line[1:].decode(errors="replace")) for at, line in enumerate(lines) if line.startswith(b"-")]
        return len(lines), errors
