"""``python -m app doctor``: does everything that the service needs work? One line for each check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import psycopg
from redis.exceptions import RedisError

from app.accounts.roster import load_accounts
from app.bootstrap import open_accounts, route_of
from app.config import Settings
from app.db.migrate import applied_revision, head_revision
from app.db.postgres import open_database
from app.db.redis import open_redis
from app.errors import BrokerError, ServiceError, StartError
from app.events.chain_check import check_log
from app.events.event_read_store import read_all_heads
from app.events.log_signature import LogSigner
from app.ops.redaction import refusal_line
from app.orders.sending import egress_store
from app.orders.state.egress import Egress
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.tag_store import check_code, stored_code
from app.orders.state.tags import TagSecrets

CHECK_TIMEOUT_S = 10.0
EVENTS_CHECKED = 10_000
"""Of each account, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check; with ``warn`` the service can start all the same."""

    result: Literal["ok", "warn", "fail"]
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.result:<4}  {self.subject:<16}  {refusal_line(self.detail)}"


async def examine(settings: Settings) -> list[Finding]:
    """Every check, also after one has failed. The first finding is that the settings could be read."""
    accounts = load_accounts(settings)
    findings = [
        Finding(result="ok", subject="settings", detail=f"{settings.environment}, accounts: {', '.join(accounts)}")
    ]
    database = await _checked("database", lambda: _database(settings))
    findings.append(database)
    if database.result == "ok":
        migrations = await _checked("migrations", lambda: _migrations(settings))
        findings.append(migrations)
        if migrations.result == "ok":
            findings.append(await _checked("deployment", lambda: _deployment(settings)))
            findings.append(await _checked("event log", lambda: _event_log(settings)))
    findings.append(await _checked("redis", lambda: _redis(settings)))
    if database.result == "ok" and migrations_fit(findings):
        findings += [await _checked(f"sender {one}", partial(_sender, settings, one)) for one in accounts]
    if database.result == "ok":
        findings += [await _checked(f"broker {one}", partial(_session, settings, one)) for one in accounts]
    return findings


async def _checked(subject: str, check: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except (ServiceError, RedisError, OSError, psycopg.Error) as error:
        return Finding(result="fail", subject=subject, detail=str(error) or type(error).__name__)


async def _database(settings: Settings) -> Finding:
    database = await open_database(settings.database_dsn, name="doctor", min_size=1, max_size=1)
    try:
        async with database.connection() as connection:
            version = connection.info.server_version
    finally:
        await database.close()
    return Finding(result="ok", subject="database", detail=f"PostgreSQL {version // 10_000}.{version % 10_000}")


async def _migrations(settings: Settings) -> Finding:
    applied = await asyncio.to_thread(applied_revision, settings.database_dsn)
    if applied != head_revision():
        raise StartError(f"the schema is at {applied or 'nothing'}, wants {head_revision()}: python -m app migrate")
    return Finding(result="ok", subject="migrations", detail=f"at head ({applied})")


async def _deployment(settings: Settings) -> Finding:
    """Is it this deployment's database? Otherwise its orders would not be recognised in the broker's book."""
    code = TagSecrets.from_settings(settings).code
    database = await open_database(settings.database_dsn, name="doctor", min_size=1, max_size=1)
    try:
        async with database.connection() as connection:
            check_code(await stored_code(connection), code=code)
    finally:
        await database.close()
    return Finding(result="ok", subject="deployment", detail=f"the tags of its orders begin with {code}")


async def _event_log(settings: Settings) -> Finding:
    """Are the newest events of each account as they were written?"""
    database = await open_database(settings.database_dsn, name="doctor", min_size=1, max_size=1)
    signer = LogSigner.from_settings(settings)
    try:
        async with database.snapshot() as tx:
            heads = await read_all_heads(tx)
            checks = [await check_log(tx, head, signer=signer, last=EVENTS_CHECKED) for head in heads]
    finally:
        await database.close()
    breaks = [check.found for check in checks if check.found is not None]
    found = [f"event {one.seq} of {one.account_id} {one.reason}" for one in breaks]
    if found:
        return Finding(result="fail", subject="event log", detail="; ".join(found))
    return Finding(result="ok", subject="event log", detail=f"intact (accounts: {len(heads)})")


async def _redis(settings: Settings) -> Finding:
    redis = open_redis(settings)
    try:
        info = await redis.info("server")
    finally:
        await redis.aclose()
    return Finding(result="ok", subject="redis", detail=f"version {info.get('redis_version', 'unknown')}")


def migrations_fit(findings: Sequence[Finding]) -> bool:
    return any(one.subject == "migrations" and one.result == "ok" for one in findings)


async def _sender(settings: Settings, account_id: str) -> Finding:
    """May a replica with these settings send the account's orders, and which of those that run may?"""
    engine = EngineSettings.from_settings(settings)
    here = Egress.of(engine, replica="this replica")
    database = await open_database(settings.database_dsn, name="doctor", min_size=1, max_size=1)
    try:
        async with database.connection() as connection:
            own = await egress_store.candidate(connection, account_id, here)
            running = await egress_store.candidates(connection, [account_id], live_s=here.live_s)
    finally:
        await database.close()
    able = ", ".join(f"{one.replica} ({one.address})" for one in running if one.may_send)
    address = here.address if engine.egress_ip else "not known (EGRESS_IP is not set)"
    may = "may send" if own.may_send else "may not send"
    detail = f"this replica {may}, address {address}: {own.why}; running replicas that may: {able or 'none'}"
    return Finding(result="ok" if own.may_send else "fail", subject=f"sender {account_id}", detail=detail)


async def _session(settings: Settings, account_id: str) -> Finding:
    """Read the profile with the token in force: this proves address, key, token and network at once."""
    subject, route = f"broker {account_id}", route_of(settings)
    async with open_accounts(settings) as opened:
        if not opened.sessions.get(account_id).has_session:
            hint = f"no access token: python -m app login --account {account_id}"
            return Finding(result="warn", subject=subject, detail=hint)
        try:
            profile = await opened.brokers[account_id].portfolio.profile()
        except BrokerError as error:
            return Finding(result="fail", subject=subject, detail=f"{error.code}: {error} ({route})")
    return Finding(result="ok", subject=subject, detail=f"logged in as {profile.get('user_id', 'unknown')} ({route})")
