"""SQL of the limit on doubts: with too many unknown outcomes, or one that is too old, nothing new is placed."""

from __future__ import annotations

MANY_DOUBTS = """(SELECT count(*) >= %(halt_doubts)s
    OR coalesce(min(d.last_sent_at) < clock_timestamp() - make_interval(secs => %(halt_doubt_age_s)s), false)
  FROM order_task d
  WHERE d.account_id = %(account_id)s AND d.operation = 'place' AND d.status = 'in_doubt')"""
"""Whether so much is unknown that nothing may be added. Only placements count: a cancel or a modification of unknown
outcome can have made no second order, and it holds up the commands of its own order alone."""
