"""Which accounts there are, and which files are refused."""

from decimal import Decimal
from pathlib import Path

import pytest

from app.accounts.roster import load_accounts
from app.config import Settings
from app.errors import SettingsError


def test_one_account_comes_from_the_settings() -> None:
    """It is called primary."""
    accounts = load_accounts(Settings(kite_api_key="key", kite_api_secret="secret"))
    assert list(accounts) == ["primary"]
    assert accounts["primary"].access_token is None


def test_several_accounts_come_from_a_file(tmp_path: Path) -> None:
    """In its order, each with its own app."""
    file = tmp_path / "accounts.yaml"
    file.write_text("accounts:\n- {account_id: b, api_key: k1, api_secret: s1}\n- {account_id: a, api_key: k2}\n")
    accounts = load_accounts(Settings(accounts_file=file))
    assert list(accounts) == ["b", "a"]
    assert accounts["b"].api_secret.get_secret_value() == "s1"


def test_an_account_of_the_file_may_have_limits_of_its_own(tmp_path: Path) -> None:
    """By the names of the settings; what it does not name is as for all."""
    file = tmp_path / "accounts.yaml"
    file.write_text("""
accounts:
  - account_id: small
    api_key: k1
    limits: {max_order_value: 25000.50, max_open_orders: 0}
  - {account_id: usual, api_key: k2}
""")
    accounts = load_accounts(Settings(accounts_file=file))
    assert accounts["small"].own_limits == {"risk_max_order_value": Decimal("25000.5"), "risk_max_open_orders": 0}
    assert set(accounts["small"].own_limits) <= set(Settings.model_fields)
    assert accounts["usual"].own_limits == {}


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("", "the file"),
        ("accounts: []", "at least 1"),
        ("accounts: [{account_id: 'a b', api_key: k}]", "accounts.0.account_id"),
        ("accounts: [{account_id: a}]", "accounts.0.api_key"),
        ("accounts: [{account_id: a, api_key: c4n4ry, extra: 1}]", "accounts.0.extra"),
        ("accounts: [{account_id: a, api_key: k, limits: {max_quantity: -1}}]", "accounts.0.limits.max_quantity"),
        ("accounts: [{account_id: a, api_key: k, limits: {max_value: 1}}]", "accounts.0.limits.max_value"),
        ("accounts: [{account_id: a, api_key: k}, {account_id: a, api_key: k}]", "each account_id once"),
        ("accounts: [{account_id: a, api_key: k}, {account_id: b, api_key: k}]", "each api_key once"),
        ("accounts: [", "valid YAML"),
        ("!!python/object:os.system {}", "valid YAML"),
    ],
)
def test_a_bad_accounts_file_is_refused_in_one_line(tmp_path: Path, text: str, wants: str) -> None:
    """It names the place and repeats nothing of the content."""
    file = tmp_path / "accounts.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="ACCOUNTS_FILE") as caught:
        load_accounts(Settings(accounts_file=file))
    assert wants in str(caught.value)
    assert "c4n4ry" not in str(caught.value)


def test_no_account_at_all_is_a_bad_setting() -> None:
    """A service without a broker account has nothing to do."""
    with pytest.raises(SettingsError, match="KITE_API_KEY"):
        load_accounts(Settings())
