"""Runs the work of a lease's owner: waits for the lease, works while it is held, waits again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

from loguru import logger

from app.db.leases import Allowed, Lease, LeaseLost
from app.errors import ServiceError
from app.kit.backoff import Backoff
from app.kit.cancellation import end_if_cancelled

if TYPE_CHECKING:
    from loguru import Logger

PAUSES = Backoff(first_s=1.0, cap_s=60.0)
"""Between two beginnings of work that goes on failing."""

SOUND_AFTER_S = 60.0
"""Work that has gone on for so long has left its last failure behind."""

MOST_CHARACTERS = 300

WhenUnsure: TypeAlias = Literal["stop", "go_on"]
"""What work does while the database does not answer. Work that must never be done twice stops; work that does no harm
twice (a feed) goes on until another process is known to hold the lease."""


class Ownership:
    """Runs work only while a lease is held: waits for the lease, works, waits again. Lives until cancelled.

    Work that ends with a ServiceError (the database was lost while it began) gives the lease back and begins anew. So
    does work that ends with any other error, after a pause that grows with each: what one account's data does to its
    own work must end neither the work of other accounts nor the process. ``on_failure`` is told each time.

    ``allowed`` is asked before a free lease is taken. ``leave`` hands the lease over; it is not taken again.
    ``working`` says whether the work runs now, ``failure`` why it ended last, until it has gone on for a while.
    """

    def __init__(
        self,
        lease: Lease,
        work: Callable[[], Awaitable[None]],
        *,
        when_unsure: WhenUnsure = "stop",
        on_failure: Callable[[str], Awaitable[None]] | None = None,
        allowed: Allowed | None = None,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self.lease = lease
        self._work = work
        self._when_unsure = when_unsure
        self._on_failure = on_failure
        self._allowed = allowed
        self._random_unit = random_unit
        self._leaving = asyncio.Event()
        self._failures = 0  # in a row
        self._failed_for: str | None = None
        self._began_at = 0.0  # monotonic seconds
        self.working = False

    @property
    def failure(self) -> str | None:
        """The error with which the work ended last; None once it has gone on for ``SOUND_AFTER_S``."""
        return None if self._is_sound() else self._failed_for

    def _is_sound(self) -> bool:
        return self.working and self.lease.clock.monotonic() - self._began_at >= SOUND_AFTER_S

    async def run(self) -> None:
        while True:
            await self._take()
            self._log().info("lease taken")
            self.working, broken = True, False
            failure: ExceptionGroup[Exception] | None = None
            self._began_at = self.lease.clock.monotonic()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._keep(), name=f"lease-{self.lease.name}")
                    # in the group's body: Python before 3.13 forgets to take back the cancellation of a parent that
                    # only waits for the group's end, and this task would count as cancelled ever after
                    await self._work()
            except* LeaseLost:
                self._log().warning("lease lost")
            except* ServiceError as errors:
                broken = True
                self._log().warning("lease given back, its work failed: {}", errors.exceptions[0])
            except* Exception as errors:  # noqa: BLE001 - it is logged, told, and counted
                failure = errors
            finally:
                was_sound, self.working = self._is_sound(), False
            end_if_cancelled()  # the error may have come from being stopped
            if broken or failure is not None:
                await self._release()
            if failure is not None:
                await self._pause_after(failure, was_sound=was_sound)

    async def _pause_after(self, failure: ExceptionGroup[Exception], *, was_sound: bool) -> None:
        """Say what has happened, and wait before the work may begin again."""
        self._failures = 1 if was_sound else self._failures + 1
        error = _first_of(failure)
        self._failed_for = f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
        pause_s = PAUSES.delay(self._failures, random=self._random_unit())
        log = self._log().bind(failures=self._failures, pause_s=round(pause_s, 1))
        log.opt(exception=failure).error("lease given back, its work ended with a defect or absurd data")
        if self._on_failure is not None:
            try:
                await self._on_failure(self._failed_for)
            except ServiceError as unavailable:
                self._log().warning("failure not recorded: {}", unavailable)
        await asyncio.sleep(pause_s)

    async def leave(self) -> None:
        """Let the next owner begin immediately. The work itself ends when ``run`` is cancelled."""
        self._leaving.set()
        if self.lease.held:
            await self._release()

    async def _release(self) -> None:
        try:
            await self.lease.release()
        except ServiceError as error:
            self._log().warning("lease not handed over: {}", error)

    async def _take(self) -> None:
        while True:
            if not self._leaving.is_set():
                try:
                    if await self.lease.try_take(allowed=self._allowed):
                        return
                except ServiceError as error:
                    self._log().warning("lease not taken: {}", error)
            await asyncio.sleep(self.lease.times.try_every_s)

    async def _keep(self) -> None:
        """Renew until it fails. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self.lease.times.renew_every_s)
            try:
                if not self._leaving.is_set() and not self.lease.is_given_up:
                    await self._renew()
            except ServiceError as error:
                self._log().warning("lease not renewed: {}", error)
                if not self.lease.held and self._when_unsure == "stop":
                    raise LeaseLost(self.lease.name) from error

    async def _renew(self) -> None:
        try:
            await self.lease.renew()
        except LeaseLost:
            if self._when_unsure == "stop" or not await self.lease.try_take():
                raise
            self._log().info("lease taken again")

    def _log(self) -> Logger:
        return logger.bind(lease=self.lease.name, term=self.lease.term)


def _first_of(group: ExceptionGroup[Exception]) -> Exception:
    """The first error in a group of errors, which may be groups themselves."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first
