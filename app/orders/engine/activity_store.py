"""SQL of the activity check: which accounts have open tasks or batches."""

from __future__ import annotations

from collections.abc import Sequence

from app.db.postgres import Tx
from app.orders.state.task_store import OPEN


async def busy_accounts(tx: Tx, account_ids: Sequence[str]) -> set[str]:
    """Those of these accounts that have an open task or batch."""
    cursor = await tx.execute(
        f"""SELECT account_id FROM order_task WHERE account_id = ANY(%(ids)s) AND status IN {OPEN}
            UNION SELECT account_id FROM batch WHERE account_id = ANY(%(ids)s) AND completed_at IS NULL""",
        {"ids": list(account_ids)},
    )
    return {row[0] for row in await cursor.fetchall()}
