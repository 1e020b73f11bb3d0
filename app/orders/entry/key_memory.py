"""What this process knows of idempotency keys beside the database: which it has stored, and which it may have stored.

A key whose commit may be on its way must not be called unused, by whatever request: its orders may be sent.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from psycopg.errors import LockNotAvailable, QueryCanceled, UniqueViolation

from app.db.bounded_connection import NoAnswer
from app.db.postgres import Database
from app.errors import Unavailable
from app.orders.entry import idempotency_store
from app.orders.entry.idempotency import IdempotencyKey
from app.orders.entry.not_accepted import AcceptanceUnknown, NotAccepted
from app.orders.entry.outcome_wait import Answer

T = TypeVar("T")

KEYS_REMEMBERED = 10_000
"""This process remembers its newest idempotency keys, to answer repeated requests while the database is away."""

_WAITS_THAT_ENDED = (LockNotAvailable, QueryCanceled, NoAnswer)
"""What a wait for another request that stores the same key ends with at its bound."""


class KeyMemory:
    """One for all requests of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recent: OrderedDict[tuple[str, str], IdempotencyKey | None] = OrderedDict()  # None: perhaps stored
        self._storing: Counter[tuple[str, str]] = Counter()  # keys whose commit may be on its way

    async def store_under(
        self,
        key: IdempotencyKey | None,
        store: Callable[[], Awaitable[T]],
        *,
        replay: Callable[[], Awaitable[Answer | None]],
    ) -> T | Answer:
        """What ``store`` returns, which stores the key with its rows; or the answer to the request that has stored it.

        ``replay`` looks for that answer. Raises what ``store`` does, and AcceptanceUnknown where another request under
        the key may be stored: then NotAccepted would not be true.
        """
        try:
            with self._keeping(key):
                stored = await store()
        except (UniqueViolation, NotAccepted) as error:
            if key is None:
                raise
            return await self.answer_after((key.principal, key.idem_key), error, replay=replay)
        if key is not None:
            self._remember(key, stored=key)
        return stored

    async def answer_after(
        self, name: tuple[str, str], error: Exception, *, replay: Callable[[], Awaitable[Answer | None]]
    ) -> Answer:
        """The answer to another request under the key (client, key), after this one has failed by ``error`` and before
        it could be stored. Raises ``error`` where there is none, AcceptanceUnknown where there may be one, NotAccepted
        when the database is away."""
        may_be_stored = isinstance(error, UniqueViolation) or await self._may_be_being_stored(name, error)
        try:
            replayed = await replay()
            if replayed is not None:
                return replayed
        except NotAccepted:
            if not isinstance(error, UniqueViolation | NotAccepted):
                raise
        if may_be_stored:
            raise AcceptanceUnknown("another request under this key may be stored") from error
        raise error

    async def find(self, principal: str, idem_key: str) -> IdempotencyKey | None:
        """The stored key, or the remembered one while the database is away, so that it is not taken for a new one."""
        try:
            async with self._database.connection() as connection:
                return await idempotency_store.find_key(connection, principal, idem_key)
        except Unavailable as error:
            name = (principal, idem_key)
            remembered = self._recent.get(name)
            if remembered is not None:
                return remembered
            if name in self._recent or self._storing[name]:
                raise AcceptanceUnknown("another request under this key may be stored") from error
            raise NotAccepted(f"the order could not be stored: {error}") from error

    @contextmanager
    def _keeping(self, key: IdempotencyKey | None) -> Iterator[None]:
        """While the block stores the key, no other request here is told that nothing is sent under it; nor later, when
        it is unknown whether the key was stored."""
        if key is None:
            yield
            return
        name = (key.principal, key.idem_key)
        self._storing[name] += 1
        try:
            yield
        except AcceptanceUnknown:
            self._remember(key, stored=None)
            raise
        finally:
            self._storing[name] -= 1
            self._storing += Counter()  # forgets those at zero

    async def _may_be_being_stored(self, name: tuple[str, str], error: Exception) -> bool:
        """Whether another request may be storing the key, after this one has failed: it may commit at any moment.

        When the database cannot be asked, a failure that was no wait for such a request says that there is none.
        """
        try:
            async with self._database.connection() as connection:
                return await idempotency_store.is_being_stored(connection, *name)
        except Unavailable:
            failure = error.__cause__
            return isinstance(failure, Unavailable) and isinstance(failure.__cause__, _WAITS_THAT_ENDED)

    def _remember(self, key: IdempotencyKey, *, stored: IdempotencyKey | None) -> None:
        name = (key.principal, key.idem_key)
        self._recent[name] = stored or self._recent.get(name)
        if len(self._recent) > KEYS_REMEMBERED:
            self._recent.popitem(last=False)
