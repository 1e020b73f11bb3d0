"""Which account streams an instrument, for a whole request."""

from __future__ import annotations

import pytest

from app.broker.market import Mode
from app.errors import Conflict, NotFound
from app.market.subscriptions.allocation import allocate, choose_account
from app.market.subscriptions.desired_state import combine
from app.market.subscriptions.model import SubscriptionRequest
from tests.unit.market.builders import instrument, subscription


def request(key: str, *, account_id: str | None = None) -> SubscriptionRequest:
    return SubscriptionRequest(instrument=instrument(key), mode=Mode.FULL, account_id=account_id)


def test_requests_beyond_the_capacity_are_refused_one_by_one() -> None:
    """The first ones fit, the surplus says the limit."""
    streams = allocate(
        [request("NSE:A"), request("NSE:B"), request("NSE:A"), request("NSE:C")],
        owner="api", desired={}, accounts=["primary"], capacity=2,
    )  # fmt: skip
    assert streams[:3] == [("primary", ("NSE", "A")), ("primary", ("NSE", "B")), ("primary", ("NSE", "A"))]
    assert isinstance(streams[3], Conflict)
    assert streams[3].code == "SUBSCRIPTION_LIMIT"


def test_streams_that_the_owner_gives_up_free_capacity_unless_others_want_them() -> None:
    """A set that is replaced may be as large as the one before it."""
    desired = combine(
        [subscription("bot", "NSE:A"), subscription("bot", "NSE:B"), subscription("ui", "NSE:B")], token_of=lambda _: 1
    )
    given_up = ("primary", ("NSE", "A")), ("primary", ("NSE", "B"))
    streams = allocate(
        [request("NSE:C"), request("NSE:D")],
        owner="bot", desired=desired, accounts=["primary"], capacity=2, given_up=given_up,
    )  # fmt: skip
    assert streams[0] == ("primary", ("NSE", "C"))
    assert isinstance(streams[1], Conflict)


def test_an_account_that_does_not_exist_is_named() -> None:
    """And does not become another account."""
    (refused,) = allocate(
        [request("NSE:A", account_id="missing")], owner="api", desired={}, accounts=["primary"], capacity=2
    )
    assert isinstance(refused, NotFound)
    assert str(refused) == "account missing does not exist"


def test_a_named_account_is_used_although_another_streams_it() -> None:
    """The client's choice counts more than a second stream of the same instrument."""
    desired = combine([subscription("api", "NSE:A")], token_of=lambda _: 1)
    streams = allocate(
        [request("NSE:A", account_id="second")],
        owner="api", desired=desired, accounts=["primary", "second"], capacity=2,
    )  # fmt: skip
    assert streams == [("second", ("NSE", "A"))]


@pytest.mark.parametrize(
    ("streamed_by", "loads", "expected"),
    [
        (["second"], {"primary": 0, "second": 9}, "second"),  # it is streamed there already, full or not
        ([], {"primary": 2, "second": 0}, "primary"),  # the preferred one while it has capacity left
        ([], {"primary": 3, "second": 1, "third": 0}, "third"),  # then the emptiest
        ([], {"primary": 3, "second": 3}, None),  # nowhere
        (["gone"], {"primary": 0}, "primary"),  # streamed by an account that may not be used
        ([], {}, None),
    ],
)
def test_choice_of_account(streamed_by: list[str], loads: dict[str, int], expected: str | None) -> None:
    """For a capacity of three."""
    assert choose_account(streamed_by, loads=loads, preferred="primary", capacity=3) == expected
