"""Tags that follow from the client's key: the same order has the same one, two different orders never."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.orders.state.tags import TAG_LENGTH, ClientKey, Tagger, TagOrigin, TagSecrets, attempt_tags
from tests.unit.orders.builders import TAG_BASE, task

SECRETS = TagSecrets(versions=(b"new", b"old"))
KEY = ClientKey(principal="algo", idem_key="my-strategy-2026-001")
ORDER = TagOrigin(account_id="primary", key=KEY)

texts = st.text(max_size=8)
origins = st.builds(
    TagOrigin,
    account_id=texts,
    key=st.builds(ClientKey, principal=texts, idem_key=texts),
    kind=st.sampled_from(["order", "leg"]),
    leg=st.integers(0, 19),
    purpose=st.sampled_from(["client", "requeue", "square_off", "replace"]),
    generation=st.integers(0, 12),
)


def tagger(secrets: TagSecrets = SECRETS) -> Tagger:
    return Tagger(IdSource(SystemClock()), secrets=secrets)


@given(one=origins, other=origins)
def test_two_orders_have_one_tag_only_if_they_are_the_same(one: TagOrigin, other: TagOrigin) -> None:
    """No two fields can be shifted into each other: every field has its length in front."""
    assert (one.encoded() == other.encoded()) == (one == other)
    assert (tagger().fresh(one) == tagger().fresh(other)) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        TagOrigin(account_id="primary", key=ClientKey(principal="alg", idem_key="omy-strategy-2026-001")),
        replace(ORDER, kind="leg"),
        replace(ORDER, kind="leg", leg=1),
        ORDER.follow_up("requeue", generation=1),
        ORDER.follow_up("requeue", generation=2),
        ORDER.follow_up("replace"),
        replace(ORDER, kind="leg").follow_up("square_off"),
        replace(ORDER, account_id="second"),
    ],
)
def test_another_order_of_the_same_key_has_another_tag(other: TagOrigin) -> None:
    """A single order is no leg 0, and what the service places for a request is another order than the request's."""
    assert tagger().fresh(other) != tagger().fresh(ORDER)


def test_the_form_on_the_wire_is_that_of_random_tags() -> None:
    """Nineteen characters of one alphabet, to which the attempt adds its digit."""
    for base in (tagger().fresh(), tagger().fresh(ORDER)):
        assert len(base) == TAG_LENGTH - 1
        assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{19}", base)
        assert base.startswith(tagger().deployment)


def test_orders_without_a_key_have_random_tags() -> None:
    assert tagger().fresh() != tagger().fresh()


def test_new_orders_use_the_newest_version_and_older_ones_are_recognised() -> None:
    """The oldest version gives the deployment's code, so that a newer one in front does not change it."""
    before = tagger(TagSecrets(versions=(b"old",)))
    assert tagger().deployment == before.deployment
    assert set(tagger().known([ORDER])) == {tagger().fresh(ORDER), before.fresh(ORDER)}
    assert set(tagger().known([ORDER]).values()) == {ORDER}
    assert tagger().fresh(ORDER) != before.fresh(ORDER)


def test_another_secret_gives_another_code_unless_an_operator_gives_one() -> None:
    """One in 1024 pairs of secrets has the same code; these two have not."""
    assert TagSecrets(versions=(b"a",)).code != TagSecrets(versions=(b"b",)).code
    assert TagSecrets(versions=(b"a",), given_code="SV").code == "SV"


def test_an_order_is_recognised_under_every_attempt() -> None:
    """A database that was put back to an older copy has forgotten how often it was sent."""
    assert attempt_tags(task(attempts=0)) == {f"{TAG_BASE}{digit}" for digit in range(1, 10)}
