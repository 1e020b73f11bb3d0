"""Which accounts there are: those of ``ACCOUNTS_FILE`` (YAML), or the one of the ``KITE_`` settings."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from app.accounts.model import Account
from app.broker.identifiers import DEFAULT_ACCOUNT, AccountId
from app.config import Settings
from app.errors import SettingsError
from app.setting_values import Amount, Count, Percent

MAX_ACCOUNTS = 100


class _Limits(BaseModel):
    """The ``RISK_`` settings that differ for one account."""

    model_config = ConfigDict(extra="forbid")

    max_order_value: Amount | None = None
    max_quantity: Count | None = None
    price_band_percent: Percent | None = None
    max_identical_orders: Count | None = None
    max_open_orders: Count | None = None

    def by_setting(self) -> Mapping[str, Decimal | int]:
        return {f"risk_{name}": limit for name, limit in self.model_dump(exclude_none=True).items()}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    account_id: AccountId
    api_key: str = Field(min_length=1)
    api_secret: SecretStr = SecretStr("")
    access_token: SecretStr | None = None
    limits: _Limits = Field(default_factory=_Limits)

    def to_account(self) -> Account:
        return Account(
            account_id=self.account_id,
            api_key=self.api_key,
            api_secret=self.api_secret,
            access_token=self.access_token,
            own_limits=self.limits.by_setting(),
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accounts: list[_Entry] = Field(min_length=1, max_length=MAX_ACCOUNTS)


def load_accounts(settings: Settings) -> Mapping[str, Account]:
    """By account id, in the order of the file. Raises SettingsError, whose text never repeats a value of the file."""
    if settings.accounts_file is not None:
        return _from_file(settings.accounts_file)
    if not settings.kite_api_key:
        raise SettingsError("KITE_API_KEY", wants="the api_key of your Kite Connect app (or ACCOUNTS_FILE for several)")
    token = settings.kite_access_token
    account = Account(
        account_id=DEFAULT_ACCOUNT,
        api_key=settings.kite_api_key,
        api_secret=settings.kite_api_secret,
        access_token=token if token.get_secret_value() else None,
    )
    return {account.account_id: account}


def _from_file(path: Path) -> Mapping[str, Account]:
    try:
        parsed = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("ACCOUNTS_FILE", wants=f"a readable file: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" at line {error.problem_mark.line + 1}"
        raise SettingsError("ACCOUNTS_FILE", wants=f"valid YAML: {error.problem or 'unreadable'}{line}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError("ACCOUNTS_FILE", wants=f"{where}: {first['msg']}") from None
    accounts = {entry.account_id: entry.to_account() for entry in parsed.accounts}
    if len(accounts) != len(parsed.accounts):
        raise SettingsError("ACCOUNTS_FILE", wants="each account_id once")
    if len({account.api_key for account in accounts.values()}) != len(accounts):
        raise SettingsError("ACCOUNTS_FILE", wants="each api_key once: two accounts would be one account at the broker")
    return accounts
