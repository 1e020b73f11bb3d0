"""Bounds and numbers that documents, operators or the broker rely on, written a second time.

A test that only meets their effect does not notice a number that has doubled. A change of one is a decision: it is made
here too.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from importlib import import_module

import pytest

BOUNDS: dict[str, dict[str, object]] = {
    "app.api.connection_limits": {"DESCRIPTORS_RESERVED": 100, "NEW_S": 0.5},
    "app.api.http_connection": {
        "HEAD_MAX_BYTES": 32_768,
        "HEAD_MAX_LINES": 100,
        "SOCKET_LINE_BYTES": 8_000,
        "PIECE_BYTES": 2_048,
        "MAX_QUEUED_REQUESTS": 16,
        "HEAD_S": 5.0,
        "BODY_S": 10.0,
        "READ_S": 10.0,
        "KEEP_ALIVE_S": 75,
        "LINGER_S": 1.0,
        "LINGER_BYTES": 1_048_576,
    },
    "app.api.socket_connection": {
        "PIECE_BYTES": 2_048,
        "KEYLESS_MESSAGE_BYTES": 16_384,
        "PINGS_PER_SECOND": 20,
        "MAX_QUEUED_MESSAGES": 64,
        "CLOSE_S": 2.0,
    },
    "app.kite.governor": {"MAX_WAITING": 1_000, "LONGEST_WAIT_S": 30.0},
    "app.kite.pace": {"MINUTE_S": 63.0, "SECOND_S": 1.0, "DEPARTURES_PER_SECOND": 9},
    "app.kite.wire.envelope": {"MESSAGE_LIMIT": 500},
    "app.kite.wire.stream": {"TOKENS_PER_MESSAGE": 500},
    "app.kite.wire.values": {"MAX_QUANTITY": 2_147_483_647},
    "app.orders.batches.exit_placement": {"POSITIONS_TIMEOUT_S": 5.0},
    "app.orders.batches.exit_references": {"QUOTE_TIMEOUT_S": 2.0, "CIRCUIT_MAX_AGE_S": 60.0, "ASK_AGAIN_S": 2.0},
    "app.orders.batches.exit_store": {"MOVES_PER_SECOND": 3, "SHOWS_WITHIN_S": 10},
    "app.orders.batches.exit_rules": {
        "REFERENCE_MAX_AGE_S": 5.0,
        "LEAST_GAP_S": 1.0,
        "LONGEST_PAUSE_S": 30.0,
    },
    "app.orders.engine.trading_status_writer": {"ROUND_S": 0.5, "CONFIRMED_EVERY_S": 1.5, "_GIVEN_UP_S": 2.0},
    "app.orders.entry.key_memory": {"KEYS_REMEMBERED": 10_000},
    "app.orders.entry.margin": {"READ_TIMEOUT_S": 2.0},
    "app.orders.entry.risk_check": {"POSITIONS_TIMEOUT_S": 2.0},
    "app.orders.entry.stored_state": {"SHOWN_AFTER": timedelta(seconds=60)},
    "app.orders.entry.validation": {"MIN_ICEBERG_LEGS": 2, "MAX_ICEBERG_LEGS": 50},
    "app.orders.operators.resolution": {"MAX_LISTED": 500},
    "app.orders.reconciliation.day_end": {"MAX_NAMED": 50},
    "app.orders.reconciliation.doubt_rules": {"CLOCK_TOLERANCE": timedelta(seconds=5)},
    "app.orders.reconciliation.read_schedule": {
        "CHECK_DELAYS_S": (0.3, 0.7, 1.0, 2.0, 4.0, 7.0, 15.0, 30.0, 30.0, 30.0),
        "IDLE_AUDIT_S": 60.0,
        "SETTLING_READ_S": 0.5,
        "READS_IN_A_ROW": 10,
    },
    "app.orders.reconciliation.read_schedule_store": {"SETTLES_WITHIN_S": 600},
    "app.orders.risk.reducing_changes": {"POSITIONS_MAX_AGE_S": 5.0},
    "app.orders.risk.limits": {
        "LIVE_MAX_ORDER_VALUE": Decimal(1_000_000),
        "LIVE_MAX_IDENTICAL": 3,
        "LIVE_MAX_OPEN_ORDERS": 200,
        "MAX_MODIFICATIONS": 24,
    },
    "app.orders.sending.circuit_breaker": {"MAX_SAMPLES": 1_000},
    "app.orders.sending.outcome_rules": {
        "ATTEMPTS_NOT_SENT": 3,
        "RESEND_DELAYS_S": (0.05, 0.2),
        "FIRST_CHECK_S": 0.3,
        "THROTTLE_COOL_DOWN_S": 1.2,
        "ATTEMPTS_THROTTLED": 2,
    },
    "app.orders.state.engine_settings": {"CLEAN_READS_NEEDED": 5},
    "app.orders.state.removal_rules": {"CANCEL_SHOWS_WITHIN_S": 1.0, "LONGEST_PAUSE_S": 30.0},
    "app.orders.state.session_state": {"PROOF_S": 5.0},
    "app.orders.state.tags": {"DEPLOYMENT_LENGTH": 2, "NAME_LENGTH": 17, "TAG_LENGTH": 20, "TAG_ATTEMPTS": 9},
    "app.orders.state.task_store": {"DAYS_AHEAD": 30},
    "app.orders.state.trading_days": {"BOOK_RESETS_AFTER": timedelta(hours=6), "LOOK_BACK": timedelta(days=7)},
    "app.orders.state.trading_reasons": {"UNCONFIRMED_S": 5.0},
    "app.orders.state.wakeups": {"IDLE_POLL_S": 5.0},
    "app.orders.views.trading_statuses": {"READ_EVERY_S": 0.5, "SILENT_S": 2.0},
}
"""By module and name."""


@pytest.mark.parametrize(("module", "numbers"), BOUNDS.items(), ids=BOUNDS.keys())
def test_each_number_is_the_one_that_was_decided(module: str, numbers: dict[str, object]) -> None:
    """All of one module at once."""
    found = import_module(module)
    assert {name: getattr(found, name) for name in numbers} == numbers
