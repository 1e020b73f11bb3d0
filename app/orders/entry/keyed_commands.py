"""Commands for many orders at once: stored in one transaction under a key that they cannot do without."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

from app.db.postgres import CommitCutOff, Database, Tx
from app.errors import BadInput, Problem, ServiceError, Unavailable
from app.orders.entry import idempotency_store
from app.orders.entry.acceptance import Acceptance, Caller
from app.orders.entry.fingerprint import fingerprint_of
from app.orders.entry.idempotency import IdempotencyKey, Kind
from app.orders.entry.lost_requests import Recovering
from app.orders.entry.not_accepted import AcceptanceUnknown, NotAccepted
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.recovered_keys import Wanted
from app.orders.state.recovery_state_store import recovery_state


class KeyedCommands:
    """Stores such a command once, and answers it as often as it is repeated."""

    def __init__(self, database: Database, *, acceptance: Acceptance) -> None:
        self._database = database
        self._acceptance = acceptance

    async def earlier(
        self,
        what: str,
        account_id: str,
        options: dict[str, Any],
        *,
        caller: Caller,
        wait_s: float,
        wanted: Wanted | None,
    ) -> tuple[bytes, Answer | None]:
        """The request's fingerprint, and its answer if it was accepted before.

        ``wanted``: the orders that it places, None for one that places none; see ``Acceptance.accept``. Raises BadInput
        without a key, and as ``Acceptance.replayed``.
        """
        if caller.idem_key is None:
            problem = Problem(loc=("header", "Idempotency-Key"), msg="is required for many orders at once")
            raise BadInput([problem], code="IDEMPOTENCY_KEY_MISSING")
        fingerprint = fingerprint_of(what, account_id, [], filter=options)
        answer = await self._acceptance.replayed(
            caller, fingerprint, account_id=account_id, wait_s=wait_s, wanted=wanted
        )
        return fingerprint, answer

    async def answer_after(
        self, error: ServiceError, fingerprint: bytes, *, caller: Caller, wait_s: float, wanted: Wanted
    ) -> Answer:
        """As ``Acceptance.answer_after``, for a command that failed before it could be stored."""
        return await self._acceptance.answer_after(
            error, fingerprint, caller=caller, account_id=wanted.account_id, wait_s=wait_s, wanted=wanted
        )

    async def store(
        self,
        kind: Kind,
        resource_id: UUID,
        account_id: str,
        *,
        fingerprint: bytes,
        caller: Caller,
        wait_s: float,
        rows: Callable[[Tx], Awaitable[None]],
        stored: Callable[[], None],
    ) -> Answer:
        """Store the key and ``rows`` in one transaction, call ``stored``, and wait up to ``wait_s`` for the outcome.

        Raises NotAccepted (nothing was stored), AcceptanceUnknown, Conflict (another request under the key), and
        Recovering for new orders while the account recovers from a loss of the database; cancels are stored.
        """
        key = IdempotencyKey(
            principal=caller.principal,
            idem_key=caller.idem_key or "",
            fingerprint=fingerprint,
            kind=kind,
            resource_id=resource_id,
        )
        earlier = await self._acceptance.keys.store_under(
            key,
            partial(self._store, key, rows, account_id=account_id),
            replay=partial(self._acceptance.replayed, caller, fingerprint, account_id=account_id, wait_s=wait_s),
        )
        if earlier is not None:
            return earlier
        stored()
        return await self._acceptance.answer(key, account_id=account_id, wait_s=wait_s)

    async def _store(self, key: IdempotencyKey, rows: Callable[[Tx], Awaitable[None]], *, account_id: str) -> None:
        try:
            async with self._database.transaction() as tx:
                pending = await recovery_state(tx, account_id)
                if key.kind == "batch" and await pending.fetch() == "recovering":
                    raise Recovering("the order book has not proven yet what was sent under this key")
                await idempotency_store.insert_key(tx, key)
                await rows(tx)
        except CommitCutOff as error:
            raise AcceptanceUnknown from error
        except Unavailable as error:
            raise NotAccepted(f"nothing was stored: {error}") from error
