"""Which caller has which key, and which paths need none."""

import pytest

from app.api.keys import ApiKeys, Principal, is_open_path
from app.config import Settings
from app.errors import SettingsError


def test_only_the_key_itself_is_accepted() -> None:
    """No prefix, no other case, nothing longer."""
    keys = ApiKeys.from_settings(Settings(api_key="right-key"))
    assert keys.authenticate("right-key") == Principal(key_id="default")
    for wrong in (None, "", "right-ke", "RIGHT-KEY", "right-key ", "right-key" * 100, "schl\xfcssel", "\udcff"):
        assert keys.authenticate(wrong) is None


def test_an_order_belongs_to_the_client_whichever_of_its_keys_it_uses() -> None:
    """A request that is repeated after the key was changed is the same order, and another client's is another one."""
    rotated = ApiKeys.from_settings(Settings(api_key="new-key", api_key_old="old-key"))
    names = {principal.client_name for key in ("new-key", "old-key") if (principal := rotated.authenticate(key))}
    assert names == {"default"}
    named = ApiKeys.from_settings(Settings(api_key="new-key", api_key_old="old-key", api_client="algo-1"))
    principals = [named.authenticate("new-key"), named.authenticate("old-key")]
    assert [one and (one.key_id, one.client_name) for one in principals] == [("default", "algo-1"), ("old", "algo-1")]


def test_a_key_may_be_bound_to_accounts() -> None:
    """``allowed`` is what routes and streams ask."""
    keys = ApiKeys({"k": Principal(key_id="k1", accounts=frozenset({"a"}))})
    principal = keys.authenticate("k")
    assert principal is not None
    assert keys.allowed(principal, "a")
    assert not keys.allowed(principal, "b")


def test_without_authentication_every_caller_is_anonymous() -> None:
    """``API_KEY_ENABLED=false`` is for development."""
    keys = ApiKeys.from_settings(Settings(api_key_enabled=False))
    assert keys.authenticate(None) == Principal(key_id="anonymous")


def test_a_missing_key_is_a_bad_setting() -> None:
    """Better no start than a service without authentication."""
    with pytest.raises(SettingsError, match="API_KEY"):
        ApiKeys.from_settings(Settings())


def test_only_probes_metrics_and_postbacks_are_open() -> None:
    """What looks like an open path is not one."""
    assert all(map(is_open_path, ["/health", "/health/live", "/health/ready", "/metrics", "/postback/primary"]))
    for path in ("/", "/health/", "/healthx", "/metrics/x", "/postback", "/orders", "//health", "/HEALTH"):
        assert not is_open_path(path)
