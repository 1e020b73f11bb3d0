"""One line of ``python -m app doctor``, and the check that it comes from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import httpx
import psycopg
from redis.exceptions import RedisError

from app.errors import ServiceError
from app.ops.redaction import refusal_line

CHECK_TIMEOUT_S = 10.0
SLOW_S = 0.25
"""An answer of a dependency beside the service takes milliseconds; each order waits for several."""

Result: TypeAlias = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check; with ``warn`` the service can start all the same."""

    result: Result
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.result:<4}  {self.subject:<16}  {refusal_line(self.detail)}"


Check: TypeAlias = Callable[[], Awaitable[Finding]]


async def checked(subject: str, check: Check) -> Finding:
    """The finding of a check, which fails with what it raises, and after ``CHECK_TIMEOUT_S``."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return Finding(result="fail", subject=subject, detail=f"no answer within {CHECK_TIMEOUT_S:g} s")
    except (ServiceError, RedisError, OSError, httpx.HTTPError, psycopg.Error) as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        return Finding(result="fail", subject=subject, detail=detail)


async def timed(subject: str, check: Check) -> Finding:
    """``checked``, with how long the answer took."""
    begun_at = time.monotonic()
    finding = await checked(subject, check)
    took_s = time.monotonic() - begun_at
    if finding.result == "fail":
        return finding
    slow = ": slow, each order waits for several such answers" if took_s > SLOW_S else ""
    return replace(finding, detail=f"{finding.detail}, answered in {took_s * 1000:.0f} ms{slow}")
