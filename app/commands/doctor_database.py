"""What ``doctor`` asks of PostgreSQL: rights, schema, deployment, the event log, and which replica may send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.commands.findings import Finding
from app.config import Settings
from app.db.database_bounds import DatabaseBounds
from app.db.migrate import applied_revision, head_revision
from app.db.postgres import Database, Tx, open_database
from app.db.schema import check_revision, check_rights, check_writes
from app.events.chain_check import check_log
from app.events.event_read_store import read_all_heads
from app.events.log_signature import LogSigner
from app.orders.sending import egress_store
from app.orders.state.egress import Egress
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.tag_store import check_code, stored_code
from app.orders.state.tags import TagSecrets

EVENTS_CHECKED = 10_000
"""Of each account, the newest."""


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    bounds = DatabaseBounds.from_settings(settings)
    opened = await open_database(settings.database_dsn, name="doctor", min_size=1, max_size=1, bounds=bounds)
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def _connection(settings: Settings) -> AsyncIterator[Tx]:
    async with _opened(settings) as opened, opened.connection() as connection:
        yield connection


async def database(settings: Settings) -> Finding:
    """Does it answer, and does it take writes?"""
    async with _connection(settings) as connection:
        version = connection.info.server_version
        await check_writes(connection)
    return Finding(result="ok", subject="database", detail=f"PostgreSQL {version // 10_000}.{version % 10_000}")


async def migrations(settings: Settings) -> Finding:
    """Does this code know the schema?"""
    applied = await asyncio.to_thread(applied_revision, settings.database_dsn)
    async with _connection(settings) as connection:
        await check_revision(connection, head_revision())
    newer = "" if applied == head_revision() else ", newer than this release, which may run on it"
    return Finding(result="ok", subject="migrations", detail=f"at {applied}{newer}")


async def rights(settings: Settings) -> Finding:
    """May this role read and write every table?"""
    async with _connection(settings) as connection:
        await check_rights(connection)
    return Finding(result="ok", subject="rights", detail="this role may read and write every table")


async def deployment(settings: Settings) -> Finding:
    """Is it this deployment's database? Otherwise its orders would not be recognised in the broker's book."""
    code = TagSecrets.from_settings(settings).code
    async with _connection(settings) as connection:
        check_code(await stored_code(connection), code=code)
    return Finding(result="ok", subject="deployment", detail=f"the tags of its orders begin with {code}")


async def event_log(settings: Settings) -> Finding:
    """Are the newest events of each account as they were written?"""
    signer = LogSigner.from_settings(settings)
    async with _opened(settings) as opened, opened.snapshot() as tx:
        heads = await read_all_heads(tx)
        checks = [await check_log(tx, head, signer=signer, last=EVENTS_CHECKED) for head in heads]
    breaks = [check.found for check in checks if check.found is not None]
    found = [f"event {one.seq} of {one.account_id} {one.reason}" for one in breaks]
    if found:
        return Finding(result="fail", subject="event log", detail="; ".join(found))
    return Finding(result="ok", subject="event log", detail=f"intact (accounts: {len(heads)})")


async def sender(settings: Settings, account_id: str) -> Finding:
    """May a replica with these settings send the account's orders, and which of those that run may?"""
    engine = EngineSettings.from_settings(settings)
    here = Egress.of(engine, replica="this replica")
    async with _connection(settings) as connection:
        own = await egress_store.candidate(connection, account_id, here)
        running = await egress_store.candidates(connection, [account_id], live_s=here.live_s)
    able = ", ".join(f"{one.replica} ({one.address})" for one in running if one.may_send)
    address = here.address if engine.egress_ip else "not known (EGRESS_IP is not set)"
    may = "may send" if own.may_send else "may not send"
    detail = f"this replica {may}, address {address}: {own.why}; running replicas that may: {able or 'none'}"
    return Finding(result="ok" if own.may_send else "fail", subject=f"sender {account_id}", detail=detail)
