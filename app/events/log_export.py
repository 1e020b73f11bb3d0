"""A log as lines of JSON, with all that its hashes cover: it can be verified without the database.

The first line of an account is its log (epoch, number of the newest event, what was dropped), then one line an event.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

from app.db.postgres import Tx
from app.events import event_read_store, pruning_store
from app.events.log_signature import LogSigner
from app.events.model import Dropped, ExportedEvent, LogHead, SignedDrop

PAGE = 1000


class DroppedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What was dropped, with its signature; bytes are hexadecimal."""

    seq: int
    hash: str | None
    occurred_at: datetime
    signature: str


class LogLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="log"):
    """The first line of an account."""

    account_id: str
    epoch: str
    seq: int
    dropped: DroppedLine | None


class EventLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="event"):
    """One event. ``hash`` is the SHA-256 of the hash before and of ``account_id``, ``seq``, ``type``,
    ``occurred_epoch_s`` and the bytes of ``data`` as they stand, with line feeds between these."""

    account_id: str
    seq: int
    type: str
    occurred_at: datetime
    occurred_epoch_s: str
    hash: str | None
    data: msgspec.Raw


async def export_log(tx: Tx, head: LogHead) -> AsyncIterator[bytes]:
    """The lines of one log, without line feeds; ``tx`` sees one moment of the database."""
    signed = await pruning_store.read_dropped(tx, head.account_id)
    dropped = None if signed is None else _dropped_line(signed)
    yield msgspec.json.encode(
        LogLine(account_id=head.account_id, epoch=head.epoch, seq=head.seq, dropped=dropped),
    )
    after = 0
    while events := await event_read_store.read_exported(tx, head.account_id, after=after, limit=PAGE):
        for event in events:
            yield msgspec.json.encode(_event_line(event))
        after = events[-1].seq


def verify_lines(lines: Iterable[bytes], *, signer: LogSigner) -> Iterator[str]:
    """What is wrong with exported lines: the first thing of each log; nothing where every event follows the one before.

    Without this deployment's secret the signature of what was dropped counts as wrong.
    """
    place: _Place | None = None
    for raw in lines:
        try:
            line = msgspec.json.decode(raw, type=LogLine | EventLine)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield f"not a line of an export: {error}"
            return
        if isinstance(line, LogLine):
            yield from _end_of(place)
            place = _Place.at(line)
            if line.dropped is not None and not _is_genuine(line, line.dropped, signer):
                where = f"event {place.seq} of {line.account_id}"
                yield f"{where} is called dropped, and this deployment has not signed that"
                place.is_broken = True
        elif place is None or place.log.account_id != line.account_id:
            yield f"event {line.seq} of {line.account_id} stands in another log"
            return
        elif not place.is_broken:
            yield from place.follow(line)
    yield from _end_of(place)


@dataclass(slots=True, kw_only=True)
class _Place:
    """How far one log was read."""

    log: LogLine
    seq: int
    hash: bytes
    is_broken: bool = False

    @classmethod
    def at(cls, log: LogLine) -> _Place:
        """Before the first event that is left."""
        if log.dropped is None:
            return cls(log=log, seq=0, hash=b"")
        return cls(log=log, seq=log.dropped.seq, hash=_bytes(log.dropped.hash))

    def follow(self, line: EventLine) -> Iterator[str]:
        """Go on to the next event; what is wrong with it."""
        name = f"event {line.seq} of {line.account_id}"
        if line.seq != self.seq + 1:
            yield f"{name} follows {self.seq}: those between are gone"
            self.is_broken = True
        elif not _follows(line, self.hash):
            yield f"{name} is not what was written"
            self.is_broken = True
        self.seq, self.hash = line.seq, _bytes(line.hash)


def _end_of(place: _Place | None) -> Iterator[str]:
    if place is not None and not place.is_broken and place.seq < place.log.seq:
        yield f"event {place.log.seq} of {place.log.account_id} is gone: the log ends at {place.seq}"


def _follows(line: EventLine, previous: bytes) -> bool:
    if line.hash is None:
        return not previous  # from before there were hashes
    fields = (line.account_id, str(line.seq), line.type, line.occurred_epoch_s)
    covered = "\n".join(fields).encode() + b"\n" + bytes(line.data)
    return hashlib.sha256(previous + covered).hexdigest() == line.hash


def _is_genuine(line: LogLine, dropped: DroppedLine, signer: LogSigner) -> bool:
    digest = None if dropped.hash is None else bytes.fromhex(dropped.hash)
    value = Dropped(account_id=line.account_id, seq=dropped.seq, hash=digest, occurred_at=dropped.occurred_at)
    return signer.is_genuine(value, bytes.fromhex(dropped.signature))


def _bytes(digest: str | None) -> bytes:
    return b"" if digest is None else bytes.fromhex(digest)


def _dropped_line(signed: SignedDrop) -> DroppedLine:
    one = signed.dropped
    return DroppedLine(
        seq=one.seq,
        hash=None if one.hash is None else one.hash.hex(),
        occurred_at=one.occurred_at,
        signature=signed.signature.hex(),
    )


def _event_line(event: ExportedEvent) -> EventLine:
    return EventLine(
        account_id=event.account_id,
        seq=event.seq,
        type=event.type,
        occurred_at=event.occurred_at,
        occurred_epoch_s=event.occurred_epoch_s,
        hash=event.hash,
        data=msgspec.Raw(event.data.encode()),
    )
