"""SQL that decides when a new order may follow the one that it replaces, and when it never may."""

from __future__ import annotations

_REPLACED_ORDER = """FROM broker_order b
  WHERE b.account_id = t.account_id AND b.order_id = t.replaces ORDER BY b.trade_date DESC LIMIT 1"""


IS_REPLACED = f"""(SELECT b.state IN ('cancelled', 'rejected') AND b.filled_quantity = t.replaces_filled
  {_REPLACED_ORDER})"""
"""Of a task ``t``: the order that it replaces is gone, and filled nothing that the client had not seen."""


IS_OBSOLETE = f"""(SELECT b.state = 'completed' OR (b.state IN ('cancelled', 'rejected')
  AND b.filled_quantity IS DISTINCT FROM t.replaces_filled) {_REPLACED_ORDER})"""
"""Of a task ``t``: the order that it should have replaced filled first, so the task is never sent."""


STILL_REPLACES = """r.replaces IS NOT NULL AND r.status IN ('pending', 'held', 'retrying')
  AND r.unwanted_since IS NULL"""
"""Of a task ``r``: it waits to take the place of another order, and is wanted. Only then is that one cancelled."""
