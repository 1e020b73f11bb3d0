"""Sets a halt together with its entry in the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.db.postgres import Tx
from app.orders.risk import halt_store
from app.orders.risk.halts import Halt, HaltMode, halt_document, shown_halt
from app.orders.state import audit_store
from app.orders.state.audit import Actor


async def write_halt(
    tx: Tx, *, scope: str, mode: HaltMode, reason: str, by: Actor, entry_id: UUID, details: Mapping[str, Any]
) -> Halt:
    """Set a halt, in force from the commit on, and write its audit entry with ``details`` added. Returns the halt."""
    before = await halt_store.find_halt(tx, scope=scope)
    await halt_store.set_halt(tx, scope=scope, mode=mode, reason=reason, set_by=by.principal)
    halt = await halt_store.find_halt(tx, scope=scope)
    if halt is None:
        raise LookupError(f"the halt of {scope} vanished inside its own transaction")
    await audit_store.write_audit(
        tx,
        entry_id=entry_id,
        principal=by.principal,
        action="kill",
        subject=scope,
        request_id=by.request_id,
        before=shown_halt(before),
        after={**halt_document(halt), **details},
    )
    return halt
