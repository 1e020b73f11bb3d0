"""Which database this is, and how far it has come: by this a copy that was put back differs from what it replaced."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.errors import FeatureNotSupported, InsufficientPrivilege, UndefinedFunction

from app.db.postgres import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseIdentity:
    """One database at one moment."""

    system: str  # the cluster's identifier, made by initdb
    database: int  # the database's own number in the cluster
    timeline: int  # rises when a standby is promoted, or a backup is restored to a point in time
    wal: int  # the position in the write-ahead log up to which everything is durable, in bytes


_READ = """SELECT oid::bigint, (SELECT system_identifier::text FROM pg_control_system()),
    ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int,
    (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint
  FROM pg_database WHERE datname = current_database()"""
_READ_NUMBER = "SELECT oid::bigint, '', 0, 0 FROM pg_database WHERE datname = current_database()"
_HIDDEN = (InsufficientPrivilege, FeatureNotSupported, UndefinedFunction)
"""Servers of some providers keep these functions to themselves."""


async def read_identity(tx: Tx) -> DatabaseIdentity | None:
    """The identity now; None at a standby, which takes no writes. ``tx`` is a connection outside of a transaction.

    Of a server that does not tell the rest only the number of the database is known, the same each time.
    """
    cursor = await tx.execute("SELECT pg_is_in_recovery()")
    if await cursor.fetchone() != (False,):
        return None
    try:
        row = await (await tx.execute(_READ)).fetchone()
    except _HIDDEN:
        row = await (await tx.execute(_READ_NUMBER)).fetchone()
    return None if row is None else DatabaseIdentity(database=row[0], system=row[1], timeline=row[2], wal=row[3])


async def read_generations(tx: Tx) -> dict[str, int]:
    """The generation of every lease, by its name."""
    cursor = await tx.execute("SELECT name, generation FROM lease")
    return {row[0]: int(row[1]) for row in await cursor.fetchall()}
