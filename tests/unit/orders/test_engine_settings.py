"""The numbers of the order engine: each is a decision about money or time, so a change of one is made here too."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from app.broker.orders import OrderType, Validity, Variety
from app.config import Settings, load_settings
from app.orders.state.engine_settings import BreakerLimits, EngineSettings
from tests.order_requests import order
from tests.unit.orders.builders import seconds

DEFAULTS = {
    "in_doubt_window_s": 120.0,
    "freshness_market_s": 3.0,
    "freshness_limit_s": 30.0,
    "freshness_cancel_s": 60.0,
    "freshness_removal_s": 28_800.0,
    "send_timeout_s": 8.0,
    "claim_lease_s": 10.0,
    "claim_to_send_s": 1.0,
    "block_on_doubt_s": 15.0,
    "poll_s": 0.25,
    "audit_s": 30.0,
    "least_read_gap_s": 0.25,
    "constant_read_gap_s": 1.0,
    "book_read_s": 5.0,
    "session_proof_s": 15.0,
    "in_flight": 4,
    "cancels_in_flight": 4,
    "batch_deadline_s": 600.0,
    "exit_s": 300.0,
    "exit_moves_per_minute": 60,
    "halt_doubts": 3,
    "halt_doubt_age_s": 30.0,
    "alarm_doubt_age_s": 60.0,
    "alarm_unwanted_age_s": 60.0,
    "fill_grace_s": 60.0,
    "account_lease_s": 10.0,
    "egress_ip": "",
    "allowed_egress_ips": (),
    "replica_live_s": 10.0,
    "egress_cool_down_s": 600.0,
    "after_recovery": "reduce_only",
}

BREAKER = {
    "doubts": 3,
    "doubts_within_s": 10.0,
    "failed_share": 0.5,
    "least_samples": 5,
    "samples_within_s": 30.0,
    "pause_s": 5.0,
}

SETTINGS = {
    "in_doubt_window_s": "in_doubt_window_s",
    "order_freshness_market_s": "freshness_market_s",
    "order_freshness_limit_s": "freshness_limit_s",
    "order_send_timeout_s": "send_timeout_s",
    "order_claim_lease_s": "claim_lease_s",
    "order_block_on_doubt_s": "block_on_doubt_s",
    "order_poll_s": "poll_s",
    "order_audit_s": "audit_s",
    "orders_in_flight": "in_flight",
    "batch_deadline_s": "batch_deadline_s",
    "exit_deadline_s": "exit_s",
    "order_halt_doubts": "halt_doubts",
    "order_halt_doubt_age_s": "halt_doubt_age_s",
    "order_alarm_doubt_age_s": "alarm_doubt_age_s",
    "order_fill_grace_s": "fill_grace_s",
    "account_lease_s": "account_lease_s",
    "after_recovery": "after_recovery",
}
"""By setting, what it sets."""


def test_the_defaults_are_what_the_documents_say() -> None:
    """Of the engine and of its breakers, with and without settings."""
    assert asdict(EngineSettings()) == {**DEFAULTS, "breaker": BREAKER}
    assert asdict(BreakerLimits()) == BREAKER
    assert EngineSettings.from_settings(Settings()) == EngineSettings()


@pytest.mark.parametrize(("setting", "field"), SETTINGS.items())
def test_each_setting_sets_its_own_bound(setting: str, field: str) -> None:
    """And no other."""
    changed = EngineSettings.from_settings(Settings().model_copy(update={setting: 7}))
    assert asdict(changed) == {**DEFAULTS, "breaker": BREAKER, field: 7}


def test_an_order_is_as_fresh_as_its_type_allows() -> None:
    """A market price moves while an order waits; an AMO waits for the next day anyway."""
    settings = EngineSettings()
    market = order(order_type=OrderType.MARKET, price=None)
    assert settings.freshness_s(market) == 3.0
    assert settings.freshness_s(order(validity=Validity.IOC)) == 3.0
    assert settings.freshness_s(order()) == 30.0
    assert settings.freshness_s(order(order_type=OrderType.SL, trigger_price=order().price)) == 30.0
    assert settings.freshness_s(order(order_type=OrderType.MARKET, price=None, variety=Variety.AMO)) == 30.0
    assert settings.doubt_timeout == seconds(15)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, ""),
        ({"EGRESS_IP": "203.0.113.7", "EGRESS_SOURCE_IP": "10.0.0.1"}, "203.0.113.7"),
        ({"EGRESS_SOURCE_IP": "10.0.0.1"}, "10.0.0.1"),
        ({"EGRESS_SOURCE_IP": "::"}, ""),
        ({"EGRESS_IP": "2001:DB8:0::1"}, "2001:db8::1"),
    ],
)
def test_the_egress_address_is_the_one_that_is_given_or_the_source(given: dict[str, str], address: str) -> None:
    """A source that only names the kind of address says nothing; spellings of one address are one."""
    assert EngineSettings.from_settings(load_settings(given, env_file=None)).egress_ip == address


def test_the_allowed_addresses_are_a_list() -> None:
    """With commas or spaces, in any spelling."""
    settings = EngineSettings.from_settings(Settings(allowed_egress_ips="203.0.113.7, 2001:DB8:0::1"))
    assert settings.allowed_egress_ips == ("203.0.113.7", "2001:db8::1")
