"""SQL that tells which exits may be live: a position has at most one such exit at a time."""

from __future__ import annotations

from app.orders.state.removal_store import LIVE
from app.orders.state.task_store import ITS_ORDERS, NEVER_SHOWN, NOT_SHOWN

EXIT_IS_OPEN = f"""(x.status IN ('running', 'in_doubt') OR (x.status = 'completed' AND (
    EXISTS (SELECT 1 FROM (SELECT x.task_id, x.account_id) t JOIN broker_order b ON {ITS_ORDERS} WHERE {LIVE})
    OR EXISTS (SELECT 1 FROM (SELECT x.*) t, LATERAL ({NOT_SHOWN}) ids WHERE NOT {NEVER_SHOWN}))))"""
"""Of a placement ``x``: it was sent, and an order of it is live or may become so."""

ANOTHER_EXIT_IS_OPEN = f"""(t.exit_by IS NOT NULL AND EXISTS (
  SELECT 1 FROM order_task x
  WHERE x.account_id = t.account_id AND x.exit_by IS NOT NULL AND x.instrument = t.instrument
    AND x.task_id <> t.task_id AND x.request ->> 'product' = t.request ->> 'product' AND {EXIT_IS_OPEN}))"""
"""Of a placement ``t``: it is an exit, and another one of its position may be live."""
