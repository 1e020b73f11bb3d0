"""How long a lease lasts, and for how long its owner trusts it."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from app.db.leases import LeaseTimes


def test_an_owner_stops_well_before_its_lease_is_over() -> None:
    """Ten seconds, trusted for seven; renewed three times within them, tried for twice a second."""
    assert asdict(LeaseTimes()) == {"ttl_s": 10.0, "trust_s": 7.0, "renew_every_s": 2.0, "try_every_s": 0.4}


def test_times_of_another_length_keep_their_proportions() -> None:
    """As in the default."""
    assert asdict(LeaseTimes.lasting(20)) == {
        "ttl_s": 20,
        "trust_s": pytest.approx(14),
        "renew_every_s": pytest.approx(4),
        "try_every_s": pytest.approx(0.8),
    }
