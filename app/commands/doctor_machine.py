"""What ``doctor`` asks of this machine: the key, directories, the disk, the port, the calendar."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx

from app.api.keys import ApiKeys
from app.commands.findings import Finding
from app.commands.serve import bind
from app.config import Settings
from app.errors import SettingsError, StartError
from app.market.calendar.exchange_hours import MarketCalendar

PROBE_S = 2.0
FULL = 0.9  # of the disk of the logs
_SHOWN = ("NSE", "NFO", "CDS", "MCX")


async def api_key(settings: Settings) -> Finding:
    """Is there a key that clients can send?"""
    ApiKeys.from_settings(settings)
    if not settings.api_key_enabled:
        return Finding(result="warn", subject="api key", detail="requests need none (API_KEY_ENABLED=false)")
    old = " and the one before (API_KEY_OLD)" if settings.api_key_old.get_secret_value() else ""
    return Finding(result="ok", subject="api key", detail=f"one is set{old}")


async def log_dir(settings: Settings) -> Finding:
    """Can a log file be made and written there?"""
    try:
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.log_dir) as file:
            file.write(b"doctor")
    except OSError as error:
        wants = f"a directory that can be written to: {error.strerror} ({settings.log_dir})"
        raise SettingsError("LOG_DIR", wants=wants) from error
    return Finding(result="ok", subject="log dir", detail=f"{settings.log_dir} can be written to")


async def disk(settings: Settings) -> Finding:
    """Is there room for the logs? A full disk ends them, and the database when it is on the same one."""
    existing = next(one for one in (settings.log_dir.absolute(), *settings.log_dir.absolute().parents) if one.exists())
    usage = shutil.disk_usage(existing)
    free = usage.free // 2**20
    detail = f"{free} MB free where the logs are ({settings.log_dir})"
    if usage.used > FULL * usage.total:
        return Finding(result="warn", subject="disk", detail=f"{detail}: over 90 % are used, make room")
    return Finding(result="ok", subject="disk", detail=detail)


async def token_dir(settings: Settings) -> Finding:
    """Is the directory of the access tokens there, and readable?"""
    directory = settings.token_dir
    if directory is None:
        return Finding(result="ok", subject="token dir", detail="not used")
    if not _is_readable(directory):
        wants = f"a directory that this user can read ({directory}): make it, or mount it"
        raise SettingsError("TOKEN_DIR", wants=wants)
    files = sum(1 for one in directory.iterdir() if one.is_file())
    return Finding(result="ok", subject="token dir", detail=f"{directory} (files: {files})")


def _is_readable(directory: Path) -> bool:
    return directory.is_dir() and os.access(directory, os.R_OK | os.X_OK)


async def port(settings: Settings) -> Finding:
    """Is the port free, or is it this service that has it?"""
    try:
        bind(settings.host, settings.port).close()
    except StartError:
        if await _is_this_service(settings):
            return Finding(result="ok", subject="port", detail=f"the service answers on {settings.port}")
        raise
    return Finding(result="ok", subject="port", detail=f"{settings.host}:{settings.port} is free")


async def _is_this_service(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared
    address = f"[{host}]" if ":" in host else host
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=PROBE_S) as client:
            answer = await client.get(f"http://{address}:{settings.port}/health")
            return "ticker" in answer.json()
    except (httpx.HTTPError, ValueError, TypeError):
        return False


async def calendar(settings: Settings) -> Finding:
    """Which exchanges count as open now? A wrong clock or time zone shows here."""
    if settings.market_calendar == "always":
        if not settings.source_is_simulator:
            raise SettingsError("MARKET_CALENDAR", wants="must be exchange at Zerodha: its markets close")
        return Finding(result="ok", subject="calendar", detail="every market counts as open, at the simulator")
    hours = MarketCalendar(mode=settings.market_calendar)
    now = datetime.now(UTC)
    states = ", ".join(f"{one} {'open' if hours.is_open(one, now) else 'closed'}" for one in _SHOWN)
    return Finding(result="ok", subject="calendar", detail=f"by the hours of the exchanges: {states}")
