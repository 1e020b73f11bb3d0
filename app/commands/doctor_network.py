"""What ``doctor`` asks over the network: Redis, the addresses of the broker, its clock, the accounts' sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from app.bootstrap import open_accounts, route_of
from app.commands.findings import Finding
from app.config import Settings
from app.db.redis import open_redis
from app.errors import BrokerError, StartError

CONNECT_S = 4.0
OFFSET_SHOWN_S = 1.0
OFFSET_WRONG_S = 30.0
NEARLY_FULL = 0.9


async def redis(settings: Settings) -> Finding:
    """Does it answer, and will it take what is written?"""
    client = open_redis(settings)
    try:
        server, memory = await client.info("server"), await client.info("memory")
        await client.set(f"{settings.redis_prefix}doctor", "1", ex=1)
    finally:
        await client.aclose()
    problem = memory_problem(memory)
    version = f"version {server.get('redis_version', 'unknown')}"
    if problem:
        return Finding(result="warn", subject="redis", detail=f"{version}: {problem}")
    return Finding(result="ok", subject="redis", detail=version)


def memory_problem(memory: Mapping[str, object]) -> str | None:
    """What is wrong with how the server deals with its memory; None where nothing is."""
    limit, used = int(str(memory.get("maxmemory", 0))), int(str(memory.get("used_memory", 0)))
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if limit and policy != "noeviction":
        return f"its policy {policy} drops last prices and counts of limits when it is full: set noeviction"
    if limit and used > NEARLY_FULL * limit:
        return f"{used // 2**20} of {limit // 2**20} MB are used; it refuses ticks when it is full: raise maxmemory"
    return None


async def feed(settings: Settings) -> Finding:
    """Does the address of the ticks take connections? Through the proxy it is the proxy's that has to."""
    through = settings.kite_proxy.get_secret_value()
    parts = urlsplit(through or settings.kite_ws_url)
    port = parts.port or (80 if parts.scheme in {"ws", "http"} else 443)
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError) as error:
        name = "KITE_PROXY" if through else "KITE_WS_URL"
        reason = getattr(error, "strerror", None) or "no answer"
        raise StartError(f"{name}: no connection to {parts.hostname}:{port}: {reason}") from error
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Finding(result="ok", subject="feed", detail=f"{parts.hostname}:{port} takes connections")


async def broker_clock(settings: Settings) -> Finding:
    """How far is this machine's clock from the broker's? Tokens, the calendar and the age of prices depend on it."""
    proxy = settings.kite_proxy.get_secret_value() or None
    asked_at = datetime.now(UTC)
    async with httpx.AsyncClient(trust_env=False, timeout=CONNECT_S, proxy=proxy) as client:
        try:
            answer = await client.head(settings.kite_rest_url)
        except (httpx.HTTPError, OSError) as error:
            raise StartError(f"KITE_REST_URL: no answer: {str(error) or type(error).__name__}") from error
    return clock_finding(answer.headers.get("date"), asked_at=asked_at, answered_at=datetime.now(UTC))


def clock_finding(date: str | None, *, asked_at: datetime, answered_at: datetime) -> Finding:
    """``date`` is the header of the broker's answer, the others are times of this machine (aware)."""
    try:
        at_broker = parsedate_to_datetime(date or "")
        least_s = (at_broker - answered_at).total_seconds()
        most_s = (at_broker - asked_at).total_seconds() + 1.0  # the header has whole seconds
    except (ValueError, TypeError):
        return Finding(result="warn", subject="clock", detail="the broker sends no time to compare with")
    offset_s = min(max(0.0, least_s), most_s)  # the smallest that these times allow
    detail = f"this machine is {abs(offset_s):.0f} s {'behind' if offset_s > 0 else 'ahead of'} the broker"
    if abs(offset_s) > OFFSET_WRONG_S:
        return Finding(result="fail", subject="clock", detail=f"{detail}: synchronise it (NTP)")
    if abs(offset_s) > OFFSET_SHOWN_S:
        return Finding(result="warn", subject="clock", detail=f"{detail}: synchronise it (NTP)")
    return Finding(result="ok", subject="clock", detail="this machine and the broker agree")


async def session(settings: Settings, account_id: str) -> Finding:
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
