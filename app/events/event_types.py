"""The closed list of event types, in an account's log and at its webhooks. Types are added, never renamed."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What happened. Most are about one order, whose document is the event's ``data``."""

    ORDER_PLACED = "order_placed"
    ORDER_UPDATED = "order_updated"
    ORDER_COMPLETED = "order_completed"
    ORDER_FAILED = "order_failed"
    ORDER_CANCELLED = "order_cancelled"
    ORDER_REJECTED = "order_rejected"
    ORDER_IN_DOUBT = "order_in_doubt"
    BATCH_COMPLETED = "batch_completed"
    BATCH_ROLLED_BACK = "batch_rolled_back"
    BATCH_NEEDS_ATTENTION = "batch_needs_attention"
    FEED_STALE = "feed_stale"
    FEED_RECOVERED = "feed_recovered"
    TOKEN_EXPIRING = "token_expiring"  # noqa: S105 - a type of event
    SUBSCRIPTION_CHANGED = "subscription_changed"
    INSTRUMENTS_CHANGED = "instruments_changed"
    ALERT_TRIGGERED = "alert_triggered"
    ACCOUNT_BLOCKED = "account_blocked"
    ACCOUNT_RECOVERED = "account_recovered"
    EVENTS_GAP = "events_gap"
