"""Where a record of the database is kept outside of it, and its form there."""

from __future__ import annotations

from typing import Protocol

import msgspec

from app.orders.recovery.loss_signs import DatabaseRecord


class RecordUnavailable(Exception):
    """The store cannot be reached, so it proves nothing: neither that there is a record nor that there is none."""


class RecordStore(Protocol):
    """One place outside of the database: Redis, or a file."""

    async def read(self) -> DatabaseRecord | None:
        """The record; None where none was ever written. Raises RecordUnavailable."""
        ...

    async def write(self, record: DatabaseRecord) -> None:
        """Replace the record. Raises RecordUnavailable."""
        ...


def encode_record(record: DatabaseRecord) -> bytes:
    """The record as JSON."""
    return msgspec.json.encode(record)


def decode_record(data: bytes) -> DatabaseRecord:
    """What ``encode_record`` made. Raises RecordUnavailable for anything else: a damaged record proves nothing."""
    try:
        return msgspec.json.decode(data, type=DatabaseRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordUnavailable("the record of the database cannot be read") from error
