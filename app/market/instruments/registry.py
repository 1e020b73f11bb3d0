"""The instrument registry: the broker's daily dump in PostgreSQL and, as an immutable index, in memory.

When a dump is due is decided in ``dump_schedule``. A refresh that fails, or that brings suspiciously few instruments,
leaves the old index in place and says so in ``status``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime

from loguru import logger

from app.broker.market import Instrument
from app.broker.port import Broker
from app.broker.rows import Rows
from app.db.postgres import Database
from app.errors import BrokerError, Conflict, Gone, NotFound, ServiceError, Unavailable
from app.kit.backoff import Backoff
from app.kit.clock import IST, Clock
from app.market.instruments import instrument_store as store
from app.market.instruments.dump_schedule import is_acceptable, is_due, is_readable, seconds_to_next_dump
from app.market.instruments.index import InstrumentFilter, InstrumentIndex, InstrumentPage
from app.market.instruments.model import Freshness, RefreshResult, RegistryStatus

_RETRY = Backoff(first_s=5.0, cap_s=300.0)


class InstrumentRegistry:
    """Reads are answered from memory; the database is only asked about instruments that are not in today's dump."""

    def __init__(
        self,
        database: Database,
        *,
        brokers: Mapping[str, Broker],
        clock: Clock,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._brokers = brokers
        self._clock = clock
        self._random_unit = random_unit
        self._index = InstrumentIndex(())
        self._refreshed_at: datetime | None = None
        self._last_error: str | None = None
        self._refreshing = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each refresh: tokens may be others, and instruments may have expired."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Load what PostgreSQL has; ask the broker when that is empty or older than the latest dump.

        A broker that fails is no reason not to start. Raises Unavailable when the database cannot be read.
        """
        await self._load()
        if self._is_due():
            await self._try_refresh()

    async def run(self) -> None:
        """Refresh after each dump time; after a failure again, with backoff; until cancelled."""
        failures = 0
        while True:
            if not self._is_due():
                failures = 0
                await asyncio.sleep(seconds_to_next_dump(self._clock.now()))
            elif not await self._try_refresh():
                failures += 1
                await asyncio.sleep(_RETRY.delay(failures, random=self._random_unit()))

    async def refresh(self, *, force: bool) -> RefreshResult:
        """Replace everything by the broker's present dump.

        Raises Conflict unless ``force`` for a dump of less than half the former (INSTRUMENT_DUMP_TOO_SMALL), or with
        many unreadable rows (INSTRUMENT_DUMP_UNREADABLE);
        BrokerError or Unavailable when it cannot be fetched or stored; the old index stays in all these cases.
        """
        async with self._refreshing:
            try:
                return await self._refresh(force=force)
            except ServiceError as error:
                self._last_error = error.message
                raise
            except Exception as error:
                # whatever a dump holds, it must end neither the start nor the service, which has the old instruments
                self._last_error = f"the dump cannot be taken: {type(error).__name__}"
                logger.opt(exception=error).error("instruments not refreshed")
                raise Unavailable(self._last_error, code="INSTRUMENTS_NOT_REFRESHED", retry_after_s=60.0) from error

    def by_token(self) -> Mapping[int, Instrument]:
        """The present instruments: read at every use, replaced as a whole by a refresh."""
        return self._index.by_token

    @property
    def is_loaded(self) -> bool:
        """Whether there is any instrument, so that an unknown one is known not to exist."""
        return len(self._index) > 0

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        """The instrument in today's dump, in memory; None when it is not there."""
        return self._index.find(exchange, tradingsymbol)

    def search(self, wanted: InstrumentFilter, *, limit: int, after: str | None = None) -> InstrumentPage:
        """A page in a stable order; ``after`` is the ``next_key`` of the page before."""
        return self._index.search(wanted, limit=limit, after=after)

    async def get(self, instrument_token: int) -> Instrument:
        """Raises NotFound, Gone with INSTRUMENT_EXPIRED, or Unavailable while no instruments are known at all."""
        return await self._live_or_gone(
            self._index.by_token.get(instrument_token), str(instrument_token), instrument_token=instrument_token
        )

    async def get_by_symbol(self, exchange: str, tradingsymbol: str) -> Instrument:
        """The same by symbol; raises as ``get`` does."""
        return await self._live_or_gone(
            self._index.find(exchange, tradingsymbol), f"{exchange}:{tradingsymbol}", key=(exchange, tradingsymbol)
        )

    async def _live_or_gone(
        self,
        found: Instrument | None,
        name: str,
        *,
        instrument_token: int | None = None,
        key: tuple[str, str] | None = None,
    ) -> Instrument:
        if found is not None:
            return self.must_live(found)
        if len(self._index) == 0:
            raise Unavailable("no instruments are loaded yet", code="INSTRUMENTS_NOT_LOADED", retry_after_s=5.0)
        async with self._database.connection() as connection:
            expired = await store.find_expired(connection, instrument_token=instrument_token, key=key)
        if expired is None:
            raise NotFound("instrument", name)
        raise Gone("instrument", f"{name} ({expired})" if key is None else name, code="INSTRUMENT_EXPIRED")

    def must_live(self, instrument: Instrument) -> Instrument:
        """The instrument itself. Raises Gone when its expiry has passed, whatever an old dump still says."""
        if instrument.expiry is not None and instrument.expiry < self._clock.now().astimezone(IST).date():
            raise Gone("instrument", f"{instrument.instrument_token} ({instrument.key})", code="INSTRUMENT_EXPIRED")
        return instrument

    def status(self) -> RegistryStatus:
        """What health shows of the registry."""
        state: Freshness = "ok"
        if len(self._index) == 0:
            state = "empty"
        elif self._is_due() or self._last_error is not None:
            state = "stale"
        return RegistryStatus(
            status=state,
            cached_instruments=len(self._index),
            last_refresh=self._refreshed_at,
            last_error=self._last_error,
        )

    def _is_due(self) -> bool:
        return is_due(self._refreshed_at, now=self._clock.now()) or len(self._index) == 0

    async def _load(self) -> None:
        instruments: list[Instrument] = []
        async with self._database.transaction() as tx:
            last = await store.last_refresh(tx)
            async for page in store.read_live(tx):
                instruments += page
                await asyncio.sleep(0)
        await self._adopt(instruments, refreshed_at=last.refreshed_at if last else None)

    async def _try_refresh(self) -> bool:
        try:
            result = await self.refresh(force=False)
        except ServiceError as error:
            logger.warning("instruments not refreshed: {}", error.message)
            return False
        fields = {"instruments": result.instruments, "added": result.added, "expired": result.expired,
                  "left_out": len(result.left_out)}  # fmt: skip
        logger.bind(**fields).info("instruments refreshed")
        return True

    async def _refresh(self, *, force: bool) -> RefreshResult:
        dump = await self._fetch()
        index = await asyncio.to_thread(InstrumentIndex, dump.good)
        self._check_size(len(index), unreadable=len(dump.bad), force=force)
        blocks = await asyncio.to_thread(lambda: store.to_blocks(iter(index)))
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await store.replace_live(tx, blocks, instruments=len(index), now=now)
        before, self._index = self._index, index
        self._refreshed_at, self._last_error = now, None
        self._notify()
        kept = await asyncio.to_thread(lambda: sum(1 for row in before if index.find(row.exchange, row.tradingsymbol)))
        return RefreshResult(
            instruments=len(index),
            added=len(index) - kept,
            expired=len(before) - kept,
            refreshed_at=now,
            left_out=dump.bad,
        )

    async def _fetch(self) -> Rows[Instrument]:
        """The dump is the same for every account: the first one whose broker answers will do."""
        problem: BrokerError | None = None
        for broker in list(self._brokers.values()):
            try:
                return await broker.market.instruments()
            except BrokerError as error:
                problem = error
        if problem is not None:
            raise problem
        raise Unavailable("no account is configured to load instruments with", code="NO_ACCOUNT")

    def _check_size(self, size: int, *, unreadable: int, force: bool) -> None:
        before = len(self._index)
        if not is_readable(size, unreadable=unreadable, force=force):
            raise Conflict(
                f"{unreadable} rows of the broker's dump cannot be read, {size} can: not taken; force=true takes it",
                code="INSTRUMENT_DUMP_UNREADABLE",
            )
        if not is_acceptable(size, before=before, force=force):
            raise Conflict(
                f"the broker's dump has {size} instruments where {before} are known: not taken"
                + ("" if size == 0 else "; force=true takes it"),
                code="INSTRUMENT_DUMP_TOO_SMALL",
            )

    async def _adopt(self, instruments: list[Instrument], *, refreshed_at: datetime | None) -> None:
        self._index = await asyncio.to_thread(InstrumentIndex, instruments)
        self._refreshed_at = refreshed_at
        self._notify()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()
