"""Which account a wish goes to, for a whole request."""

from __future__ import annotations

from app.broker.market import Mode
from app.errors import Conflict, NotFound
from app.market.subscriptions.allocation import Wish, place_wishes
from app.market.subscriptions.desired_state import add_up
from tests.unit.market.builders import instrument, want


def wish(key: str, *, account_id: str | None = None) -> Wish:
    return Wish(instrument=instrument(key), mode=Mode.FULL, account_id=account_id)


def test_wishes_beyond_the_capacity_are_refused_one_by_one() -> None:
    """The first ones fit, the surplus says the limit."""
    placed = place_wishes(
        [wish("NSE:A"), wish("NSE:B"), wish("NSE:A"), wish("NSE:C")],
        owner="api", desired={}, accounts=["primary"], capacity=2,
    )  # fmt: skip
    assert placed[:3] == [("primary", ("NSE", "A")), ("primary", ("NSE", "B")), ("primary", ("NSE", "A"))]
    assert isinstance(placed[3], Conflict)
    assert placed[3].code == "SUBSCRIPTION_LIMIT"


def test_what_the_owner_gives_up_makes_room_unless_others_want_it() -> None:
    """A set that is replaced may be as large as the one before it."""
    desired = add_up([want("bot", "NSE:A"), want("bot", "NSE:B"), want("ui", "NSE:B")], token_of=lambda _: 1)
    place = ("primary", ("NSE", "A")), ("primary", ("NSE", "B"))
    placed = place_wishes(
        [wish("NSE:C"), wish("NSE:D")],
        owner="bot", desired=desired, accounts=["primary"], capacity=2, given_up=place,
    )  # fmt: skip
    assert placed[0] == ("primary", ("NSE", "C"))
    assert isinstance(placed[1], Conflict)


def test_an_account_that_does_not_exist_is_named() -> None:
    """And does not become another account."""
    (refused,) = place_wishes(
        [wish("NSE:A", account_id="nobody")], owner="api", desired={}, accounts=["primary"], capacity=2
    )
    assert isinstance(refused, NotFound)
    assert str(refused) == "account nobody does not exist"


def test_a_named_account_is_used_although_another_streams_it() -> None:
    """The caller's word goes before our thrift."""
    desired = add_up([want("api", "NSE:A")], token_of=lambda _: 1)
    placed = place_wishes(
        [wish("NSE:A", account_id="second")],
        owner="api", desired=desired, accounts=["primary", "second"], capacity=2,
    )  # fmt: skip
    assert placed == [("second", ("NSE", "A"))]
