"""``python -m app events verify|export``: is the event log as it was written, and a copy of it.

Needs the database only; a copy is verified without one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from app.config import Settings
from app.db.postgres import Database, Tx, open_database
from app.errors import NotFound
from app.events import event_read_store
from app.events.chain_check import LogCheck, check_log
from app.events.log_export import export_log, verify_lines
from app.events.log_signature import LogSigner
from app.events.model import LogHead
from app.kit.clock import ist_iso


async def verify(settings: Settings, *, account_id: str | None) -> tuple[list[str], bool]:
    """A line for each account, and whether every log is as it was written. Raises NotFound, Unavailable."""
    signer = LogSigner.from_settings(settings)
    async with _opened(settings) as database, database.snapshot() as tx:
        checks = [await check_log(tx, head, signer=signer) for head in await _heads(tx, account_id)]
    return [_line(check) for check in checks], all(check.found is None for check in checks)


async def export(settings: Settings, *, account_id: str | None) -> AsyncIterator[bytes]:
    """The lines of the log, as it is at one moment. Raises NotFound, Unavailable."""
    async with _opened(settings) as database, database.snapshot() as tx:
        for head in await _heads(tx, account_id):
            async for line in export_log(tx, head):
                yield line


def verify_copy(settings: Settings, lines: Iterable[bytes]) -> list[str]:
    """What is wrong with an exported log; nothing where it is as it was written."""
    return list(verify_lines(lines, signer=LogSigner.from_settings(settings)))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    database = await open_database(settings.database_dsn, name="events", min_size=1, max_size=1)
    try:
        yield database
    finally:
        await database.close()


async def _heads(tx: Tx, account_id: str | None) -> list[LogHead]:
    heads = sorted(await event_read_store.read_all_heads(tx), key=lambda head: head.account_id)
    found = [head for head in heads if account_id in {None, head.account_id}]
    if account_id is not None and not found:
        raise NotFound("event log", account_id)
    return found


def _line(check: LogCheck) -> str:
    if check.found is not None:
        return f"{check.head.account_id}: event {check.found.seq} {check.found.reason}"
    what = f"{check.events} events up to {check.head.seq} are as they were written"
    if check.dropped is None:
        return f"{check.head.account_id}: {what}"
    dropped = check.dropped.dropped
    return (
        f"{check.head.account_id}: {what}; {dropped.seq} until {ist_iso(dropped.occurred_at)[:19]} were dropped, signed"
    )
