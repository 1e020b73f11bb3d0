"""Answers the repetition of a request that the database has forgotten, from the orders that the book has under its key.

It is asked for keys that the database does not know, in accounts that recover or have recovered from a loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal
from uuid import UUID

from app.broker.outcomes import Sent
from app.db.postgres import Tx
from app.errors import Conflict, Unavailable
from app.kit.clock import trade_date_of
from app.orders.batches import batch_store
from app.orders.batches.leg_reader import load_legs
from app.orders.entry import idempotency_store
from app.orders.entry.idempotency import IdempotencyKey
from app.orders.entry.not_accepted import NotAccepted
from app.orders.entry.recovered_keys import (
    FoundOrder,
    KeyMeaning,
    Meaning,
    Wanted,
    exits_after,
    meaning_of,
    origins_of,
)
from app.orders.recovery import adopted_task_store, recovery_store
from app.orders.recovery.recovery_store import Recovery
from app.orders.recovery.unfinished import CLOSE_NOT_CONTINUED, NOT_CONTINUED, stop_batch
from app.orders.state import new_task_store, order_store, task_store
from app.orders.state.alarms import Alarm
from app.orders.state.model import TaskError, TaskStatus
from app.orders.state.new_tasks import BatchLeg, NewBatch, NewTask
from app.orders.state.order_parts import OrderParts
from app.orders.state.tags import ClientKey, TagOrigin
from app.orders.state.trading_days import LOOK_BACK

RETRY_AFTER_S = 5.0


class Recovering(Conflict):
    """The account recovers from a loss of the database: nothing of the request was stored, and it is not known whether
    an earlier one under its key was sent. ``sent`` is "no" for a request without a key, which repeats none."""

    retryable = "after_check"
    retry_after_s = RETRY_AFTER_S

    def __init__(self, why: str, *, sent: Literal["no", "unknown"] = "unknown") -> None:
        super().__init__(f"the database was lost: {why}; repeat the request under the same key", code="RECOVERING")
        self.sent = sent


class OrderDiffers(Conflict):
    """The book has an order under the key that this request does not explain; an operator must look at it."""

    sent = str(Sent.UNKNOWN)
    retryable = "after_check"

    def __init__(self, reason: str) -> None:
        message = f"after a loss of the database: {reason}; an operator must look at it"
        super().__init__(message, code="RECOVERED_ORDER_DIFFERS")


class LostRequests:
    """``account_ids``: every account that is served, because a key belongs to one request of one account."""

    def __init__(self, parts: OrderParts, *, account_ids: Sequence[str]) -> None:
        self._parts = parts
        self._database = parts.database
        self._account_ids = account_ids

    async def find(self, key: ClientKey | None, fingerprint: bytes, wanted: Wanted) -> IdempotencyKey | None:
        """The key with the resource that is its answer, stored from now on; None: the request is a new one.

        Raises Recovering while that is not proven, Conflict when the key was used for another request, OrderDiffers,
        NotAccepted when the database is away.
        """
        try:
            async with self._database.connection() as connection:
                if await recovery_store.find(connection, wanted.account_id) is None:
                    return None  # nothing was ever lost: the account's lock is not taken
            return await self._find(key, fingerprint, wanted)
        except Unavailable as error:
            raise NotAccepted(f"the order could not be stored: {error}") from error

    async def _find(self, key: ClientKey | None, fingerprint: bytes, wanted: Wanted) -> IdempotencyKey | None:
        async with self._database.transaction() as tx:
            await self._parts.settlement.lock(tx, wanted.account_id)
            recovery = await recovery_store.find(tx, wanted.account_id)
            if recovery is None:
                return None
            if key is None:
                if recovery.is_over:
                    return None  # an order without a key is never a repetition
                raise Recovering("no order is accepted until the order book has shown what was sent", sent="no")
            stored = await idempotency_store.find_key(tx, key.principal, key.idem_key)
            if stored is not None:
                return stored
            meaning = await self._meaning(tx, key, wanted, recovery)
            if meaning.meaning is Meaning.CONTRADICTED:
                await self._alarm(tx, wanted, meaning)
            answer = None
            if meaning.meaning in {Meaning.FOUND, Meaning.BROKEN}:
                answer = await self._assign(tx, key, fingerprint, wanted, meaning)
        return _answer(meaning, answer)

    async def _meaning(self, tx: Tx, key: ClientKey, wanted: Wanted, recovery: Recovery) -> KeyMeaning:
        tagger = self._parts.tagger
        bases = tagger.known(origins_of(key, account_ids=self._account_ids, closes=wanted.closes is not None))
        found = await self._found(tx, bases, wanted.account_id)
        exits = tagger.known(exits_after(one.origin for one in found))
        found += await self._found(tx, exits, wanted.account_id)
        bases |= exits
        ids = [] if not recovery.is_over else await recovery_store.ids_without_tag(tx, recovery)
        since = trade_date_of(recovery.began_at) - LOOK_BACK
        similar = await order_store.by_ids(tx, wanted.account_id, ids, since=since) if ids else {}
        return meaning_of(
            wanted,
            found,
            recovering=not recovery.is_over,
            without_tag=list(similar.values()),
            unexplained=await adopted_task_store.unexplained(tx, wanted.account_id, sorted(bases)),
        )

    async def _found(self, tx: Tx, bases: dict[str, TagOrigin], account_id: str) -> list[FoundOrder]:
        """The tasks under these tags, of this account and of others, with the rows of each."""
        tasks = await task_store.by_tag_bases(tx, account_id, sorted(bases))
        for other_id, _ in (await task_store.of_other_accounts(tx, account_id, sorted(bases))).values():
            task = await task_store.need(tx, other_id)
            tasks[str(task.tag_base)] = task
        rows = await order_store.by_tasks(tx, [task.task_id for task in tasks.values()])
        return [
            FoundOrder(origin=bases[base], task=task, orders=[row for row in rows if row.task_id == task.task_id])
            for base, task in tasks.items()
        ]

    async def _assign(
        self, tx: Tx, key: ClientKey, fingerprint: bytes, wanted: Wanted, meaning: KeyMeaning
    ) -> IdempotencyKey:
        """Make the orders that were found the answer to their key, now and for every later repetition."""
        orders = meaning.orders or {}
        if wanted.is_batch:
            resource_id = await self._rebuild_batch(tx, key, wanted, meaning)
        else:
            resource_id = orders[0].task.task_id
            line, purpose = wanted.lines[0], orders[0].origin.purpose
            own = "client" if purpose == "replace" else purpose
            await adopted_task_store.assign(tx, resource_id, purpose=own, request=line.request, user_tag=line.user_tag)
        stored = IdempotencyKey(
            principal=key.principal,
            idem_key=key.idem_key,
            fingerprint=fingerprint,
            kind="batch" if wanted.is_batch else "task",
            resource_id=resource_id,
        )
        await idempotency_store.insert_key(tx, stored)
        return stored

    async def _rebuild_batch(self, tx: Tx, key: ClientKey, wanted: Wanted, meaning: KeyMeaning) -> UUID:
        """A batch of the legs that were found. It is not continued: a leg that was never sent is cancelled."""
        orders = meaning.orders or {}
        batch = NewBatch(
            batch_id=self._parts.ids.uuid(),
            account_id=wanted.account_id,
            rollback_on_failure=wanted.rollback_on_failure,
            on_filled=wanted.on_filled,
            total_orders=len(orders) if wanted.total_orders is None else wanted.total_orders,
            deadline_s=self._parts.settings.batch_deadline_s,
        )
        await batch_store.insert_batch(tx, batch)
        if wanted.closes is not None:
            await self._rebuild_close(tx, batch, meaning)
            return batch.batch_id
        missing: list[NewTask] = []
        for leg, line in enumerate(wanted.lines):
            if leg in orders:
                await adopted_task_store.assign(
                    tx,
                    orders[leg].task.task_id,
                    purpose="client",
                    request=line.request,
                    user_tag=line.user_tag,
                    batch_id=batch.batch_id,
                    leg=leg,
                )
                continue
            task = self._parts.tasks.place(
                line,
                account_id=wanted.account_id,
                of_batch=BatchLeg(batch_id=batch.batch_id, leg=leg),
                origin=TagOrigin(account_id=wanted.account_id, key=key, kind="leg", leg=leg),
            )
            error = TaskError(code="WITHDRAWN", message=NOT_CONTINUED)
            missing.append(replace(task, status=TaskStatus.CANCELLED, error=error))
        await new_task_store.insert_tasks(tx, missing)
        await self._assign_exits(tx, batch, meaning, legs={leg: leg for leg in range(len(wanted.lines))})
        if missing:
            await self._stop(tx, batch, why=NOT_CONTINUED)
        return batch.batch_id

    async def _rebuild_close(self, tx: Tx, batch: NewBatch, meaning: KeyMeaning) -> None:
        """The exits that were found, one leg for each position. Which other positions were to be closed is not known,
        so none of them is closed now."""
        found = sorted((meaning.orders or {}).items())
        for number, (_, one) in enumerate(found):
            await adopted_task_store.assign(
                tx, one.task.task_id, purpose="client", batch_id=batch.batch_id, leg=number, closes=True
            )
        await self._assign_exits(tx, batch, meaning, legs={leg: number for number, (leg, _) in enumerate(found)})
        await self._stop(tx, batch, why=CLOSE_NOT_CONTINUED)

    async def _assign_exits(self, tx: Tx, batch: NewBatch, meaning: KeyMeaning, *, legs: Mapping[int, int]) -> None:
        """``legs``: the number of each leg in the batch, by that in its tag."""
        for one in meaning.square_offs:
            await adopted_task_store.assign(
                tx, one.task.task_id, purpose="square_off", batch_id=batch.batch_id, leg=legs[one.origin.leg]
            )

    async def _stop(self, tx: Tx, batch: NewBatch, *, why: str) -> None:
        made = await batch_store.load(tx, batch.batch_id)
        if made is not None:
            legs = (await load_legs(tx, [made]))[batch.batch_id]
            await stop_batch(tx, made, legs, why=why, settlement=self._parts.settlement)

    async def _alarm(self, tx: Tx, wanted: Wanted, meaning: KeyMeaning) -> None:
        subject = meaning.reason if meaning.task_id is None else meaning.task_id
        await self._parts.settlement.raise_alarm(
            tx,
            Alarm.MISMATCH,
            account_id=wanted.account_id,
            alarm_id=self._parts.ids.uuid(),
            subject=subject,
            data={"reason": meaning.reason},
        )


def _answer(meaning: KeyMeaning, answer: IdempotencyKey | None) -> IdempotencyKey | None:
    """Raises what ``LostRequests.find`` does."""
    match meaning.meaning:
        case Meaning.OTHER:
            raise Conflict("this Idempotency-Key was used for another request", code="IDEMPOTENCY_KEY_REUSED")
        case Meaning.CONTRADICTED:
            raise OrderDiffers(meaning.reason)
        case Meaning.WAIT:
            raise Recovering("the order book has not proven yet what was sent under this key")
        case Meaning.BLOCKED:
            raise Recovering(f"{meaning.reason}; an operator must say so: python -m app recover")
        case _:
            return answer
