"""What proves that a database has forgotten something that it had stored. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from app.db.database_identity import DatabaseIdentity


class Sign(StrEnum):
    """Why an account recovers. The texts are stored and shown to operators."""

    ANOTHER_SYSTEM = "the database belongs to another PostgreSQL cluster than before"
    ANOTHER_DATABASE = "the database was made anew since it was last seen"
    ANOTHER_TIMELINE = "a standby was promoted, or a backup was restored to a point in time"
    WAL_BACKWARDS = "the write-ahead log is behind where it was: an older copy was put back"
    GENERATION_BACKWARDS = "claims or lease renewals are missing: an older copy was put back"
    EMPTY = "the database is empty, and nothing proves that it is a new deployment's first one"
    ORDER_WITHOUT_TASK = "the order book has an order with a tag of this deployment that no task has"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRecord:
    """What was seen of a database at one moment."""

    identity: DatabaseIdentity
    generations: dict[str, int] = field(default_factory=dict)  # by lease


def sign_of(before: DatabaseRecord, now: DatabaseRecord) -> Sign | None:
    """The sign that ``now``, read after ``before`` was, has forgotten something; None where it goes on from it."""
    old, new = before.identity, now.identity
    if new.system != old.system:
        return Sign.ANOTHER_SYSTEM
    if new.timeline != old.timeline:
        return Sign.ANOTHER_TIMELINE
    if new.wal < old.wal:
        return Sign.WAL_BACKWARDS
    if new.database != old.database:
        return Sign.ANOTHER_DATABASE
    if any(now.generations.get(lease, 0) < generation for lease, generation in before.generations.items()):
        return Sign.GENERATION_BACKWARDS
    return None


def newest(one: DatabaseRecord, other: DatabaseRecord) -> DatabaseRecord:
    """What both say together of one database; the second where they are of different ones."""
    if sign_of(one, other) not in {None, Sign.WAL_BACKWARDS, Sign.GENERATION_BACKWARDS}:
        return other
    leases = one.generations.keys() | other.generations.keys()
    highest = {name: max(one.generations.get(name, 0), other.generations.get(name, 0)) for name in leases}
    ahead = one if one.identity.wal > other.identity.wal else other
    return DatabaseRecord(identity=ahead.identity, generations=highest)
