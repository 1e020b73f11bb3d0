"""Settings from the environment or ``.env``, checked once at the start: a wrong one stops it with one clear line.

Each setting has its comment in ``.env.example``. Any of them may come from a file instead
(``API_KEY_FILE=/run/secrets/api_key``), and an empty variable counts as not set. ``Settings(...)`` reads only its
arguments and ``load_settings`` the environment, so tests get exactly the settings that they name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

import limits
from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.errors import SettingsError
from app.safe_values import is_loopback, weakness_of
from app.setting_files import read_files

Environment = Literal["development", "staging", "production"]
CalendarMode = Literal["exchange", "always"]  # always: a market that never closes, as the simulator's
AfterRecovery = Literal["reduce_only", "trade"]
Address = IPv4Address | IPv6Address
Amount = Annotated[Decimal, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Percent = Annotated[Decimal, Field(ge=0, le=100)]
_WEAK_PASSWORDS = frozenset({"", "postgres", "password", "changeme", "secret", "admin", "ticker"})
_ZERODHA = ("https", "api.kite.trade", "wss", "ws.kite.trade")
_SEAL_BYTES = 32  # AES-256


def _checked_limit(limit: str) -> str:
    try:
        limits.parse(limit)
    except ValueError as error:
        raise ValueError("wants count/period, such as 10/minute") from error
    return limit


RequestLimit = Annotated[str, AfterValidator(_checked_limit)]
"""``count/period``, as the limits library writes it."""


class Settings(BaseSettings):
    """All settings; names are the environment variables in lower case. Durations end in ``_s`` and are seconds."""

    model_config = SettingsConfigDict(env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True)

    # the process
    environment: Environment = "development"
    paper: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    log_dir: Path = Path("logs")
    trusted_proxies: str = ""
    trusted_hosts: str = ""
    trusted_origins: str = ""
    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # who may call
    api_key: SecretStr = SecretStr("")
    api_key_enabled: bool = True
    api_key_old: SecretStr = SecretStr("")
    api_client: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = ""

    # PostgreSQL and Redis
    database_url: SecretStr = SecretStr("")
    instrument_db_host: str = ""
    instrument_db_port: int = 5432
    instrument_db_name: str = "ticker"
    instrument_db_user: str = "ticker"
    instrument_db_password: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,32}:$")] = "ticker:"

    # the broker, and the address from which orders leave
    egress_ip: Address | None = None
    egress_source_ip: Address | None = None
    allowed_egress_ips: str = ""
    kite_rest_url: str = "https://api.kite.trade"
    kite_ws_url: str = "wss://ws.kite.trade"
    kite_proxy: SecretStr = SecretStr("")
    kite_ipv4_only: bool = False
    kite_login_url: str = "https://kite.zerodha.com/connect/login"
    kite_api_key: str = ""
    kite_api_secret: SecretStr = SecretStr("")
    kite_access_token: SecretStr = SecretStr("")
    accounts_file: Path | None = None
    token_dir: Path | None = None
    token_key: SecretStr = SecretStr("")
    market_calendar: CalendarMode = "exchange"

    # orders
    order_tag_secret: SecretStr = SecretStr("")
    order_tag_code: Annotated[str, Field(pattern=r"^([0-9A-HJKMNP-TV-Z]{2})?$")] = ""
    database_record_file: Path | None = None
    after_recovery: AfterRecovery = "reduce_only"
    in_doubt_window_s: Annotated[float, Field(ge=1, le=3600)] = 120.0
    order_freshness_market_s: Annotated[float, Field(gt=0, le=3600)] = 3.0
    order_freshness_limit_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    order_send_timeout_s: Annotated[float, Field(gt=0, le=60)] = 8.0
    account_lease_s: Annotated[float, Field(ge=1, le=60)] = 10.0
    order_claim_lease_s: Annotated[float, Field(ge=1, le=60)] = 10.0
    order_block_on_doubt_s: Annotated[float, Field(ge=0, le=600)] = 15.0
    order_poll_s: Annotated[float, Field(gt=0, le=10)] = 0.25
    order_audit_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    orders_in_flight: Annotated[int, Field(ge=1, le=10)] = 4
    batch_deadline_s: Annotated[float, Field(gt=0, le=600)] = 600.0
    exit_deadline_s: Annotated[float, Field(gt=0, le=900)] = 300.0
    order_halt_doubts: Annotated[int, Field(ge=1, le=1000)] = 3
    order_halt_doubt_age_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    order_alarm_doubt_age_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    order_fill_grace_s: Annotated[float, Field(gt=0, le=3600)] = 60.0

    # limits of an account's orders; 0 is off, None is the default for the real broker (off at a simulator)
    risk_max_order_value: Amount | None = None
    risk_max_quantity: Count | None = None
    risk_price_band_percent: Percent | None = None
    risk_price_max_age_s: Annotated[float, Field(gt=0, le=3600)] = 5.0
    risk_stale_price: Literal["allow", "refuse"] = "allow"
    risk_max_identical_orders: Count | None = None
    risk_identical_window_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    risk_max_open_orders: Count | None = None

    # ticks
    tick_flush_ms: Annotated[int, Field(ge=1, le=1000)] = 2
    tick_stale_after_s: Annotated[float, Field(gt=0)] = 30.0
    feed_silence_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    feed_reconnect_first_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    feed_reconnect_cap_s: Annotated[float, Field(gt=0, le=300)] = 60.0

    # WebSockets and webhooks
    ws_auth_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    ws_heartbeat_s: Annotated[float, Field(gt=0, le=60)] = 15.0
    ws_idle_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    ws_connections_per_account: Annotated[int, Field(ge=1, le=10000)] = 100
    ws_queue_length: Annotated[int, Field(ge=1, le=100000)] = 1000
    webhook_allow_loopback: bool = False

    # limits of requests
    limit_default: RequestLimit = "100/second"
    limit_address: RequestLimit = "200/second"
    limit_batch_orders: RequestLimit = "10/minute"
    limit_subscriptions: RequestLimit = "30/minute"
    limit_webhooks: RequestLimit = "20/minute"
    limit_instrument_refresh: RequestLimit = "5/hour"
    limit_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    max_connections: Annotated[int, Field(ge=16, le=100_000)] = 2000
    max_body_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 256 * 1024

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the ``.env`` file that the caller names; never ``os.environ``."""
        return init_settings, dotenv_settings

    @field_validator("kite_rest_url", "kite_ws_url", "kite_login_url")
    @classmethod
    def _is_url(cls, url: str, info: ValidationInfo) -> str:
        schemes = {"ws", "wss"} if info.field_name == "kite_ws_url" else {"http", "https"}
        return _checked_url(url, schemes=schemes).rstrip("/")

    @field_validator("database_url", "redis_url", "kite_proxy")
    @classmethod
    def _is_server(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        schemes = {"redis_url": {"redis", "rediss", "unix"}, "kite_proxy": {"http"}}
        if url.get_secret_value() or info.field_name == "redis_url":
            _checked_url(url.get_secret_value(), schemes=schemes.get(str(info.field_name), {"postgresql", "postgres"}))
        return url

    @field_validator("allowed_egress_ips")
    @classmethod
    def _are_addresses(cls, given: str) -> str:
        return ",".join(str(ip_address(one)) for one in given.replace(",", " ").split())

    @field_validator("token_key")
    @classmethod
    def _is_sealing_key(cls, key: SecretStr) -> SecretStr:
        if key.get_secret_value() and len(_decoded(key.get_secret_value())) != _SEAL_BYTES:
            raise ValueError("wants 32 random bytes in base64, such as `openssl rand -base64 32` prints")
        return key

    @field_validator("order_tag_secret")
    @classmethod
    def _are_tag_secrets(cls, secrets: SecretStr) -> SecretStr:
        if any(len(_decoded(part)) != _SEAL_BYTES for part in secrets.get_secret_value().replace(",", " ").split()):
            raise ValueError("wants 32 random bytes in base64; several versions separated by commas, the newest first")
        return secrets

    @model_validator(mode="after")
    def _refuse_what_is_unsafe(self) -> Self:
        refuse_unsafe(self)
        return self

    @property
    def database_dsn(self) -> str:
        """The URL of the database: ``DATABASE_URL``, or built from the ``INSTRUMENT_DB_*`` parts."""
        if self.database_url.get_secret_value():
            return self.database_url.get_secret_value()
        password = quote(self.instrument_db_password.get_secret_value(), safe="")
        where = f"{self.instrument_db_host or '127.0.0.1'}:{self.instrument_db_port}/{self.instrument_db_name}"
        return f"postgresql://{quote(self.instrument_db_user, safe='')}:{password}@{where}"

    @property
    def token_key_bytes(self) -> bytes | None:
        """The key that encrypts broker tokens in the database, or None where none is set."""
        return _decoded(self.token_key.get_secret_value()) or None

    @property
    def order_tag_secrets(self) -> tuple[bytes, ...]:
        """The versions of the tags' secret, the newest first; without one it follows from Kite app and Redis prefix."""
        given = tuple(_decoded(part) for part in self.order_tag_secret.get_secret_value().replace(",", " ").split())
        named = f"tags of the orders of {self.kite_api_key} {self.redis_prefix}"
        return given or (hashlib.sha256(named.encode()).digest(),)

    @property
    def source_is_simulator(self) -> bool:
        """True unless both addresses are Zerodha's own: any other broker must never count as the real one."""
        rest, stream = urlsplit(self.kite_rest_url), urlsplit(self.kite_ws_url)
        return (rest.scheme, rest.hostname, stream.scheme, stream.hostname) != _ZERODHA


def refuse_unsafe(settings: Settings) -> None:
    """Production needs authentication, passwords that are no defaults, and the real broker. Raises SettingsError.

    Only development on loopback may go without authentication, and only development may have a key that is guessable.
    """
    if not settings.api_key_enabled and (settings.environment != "development" or not is_loopback(settings.host)):
        wants = "must be true, except in development with a HOST that is loopback: else everyone could place orders"
        raise SettingsError("API_KEY_ENABLED", wants=wants)
    if settings.environment == "development":
        return
    for name, key in (("API_KEY", settings.api_key), ("API_KEY_OLD", settings.api_key_old)):
        weakness = weakness_of(key.get_secret_value())
        if weakness is not None and (name == "API_KEY" or key.get_secret_value()):
            makes_one = "`openssl rand -hex 24` makes one"
            raise SettingsError(name, wants=f"{weakness} in {settings.environment}; {makes_one}")
    if settings.environment != "production":
        return
    database = urlsplit(settings.database_dsn)
    if (database.password or "") in _WEAK_PASSWORDS:
        variable = "DATABASE_URL" if settings.database_url.get_secret_value() else "INSTRUMENT_DB_PASSWORD"
        raise SettingsError(variable, wants="a password of its own is required in production, not a default one")
    if settings.webhook_allow_loopback:
        raise SettingsError("WEBHOOK_ALLOW_LOOPBACK", wants="must be false in production")
    if not settings.order_tag_secret.get_secret_value() and not settings.source_is_simulator:
        raise SettingsError("ORDER_TAG_SECRET", wants="32 random bytes in base64 are required in production")
    if settings.source_is_simulator and not settings.paper:
        raise SettingsError(
            "KITE_REST_URL",
            wants="it and KITE_WS_URL must be Zerodha's in production; PAPER=true allows a simulator",
        )


def load_settings(environ: Mapping[str, str] | None = None, *, env_file: Path | None = Path(".env")) -> Settings:
    """The settings of this process. Raises SettingsError with the first variable that is wrong and what it wants."""
    environ = os.environ if environ is None else environ
    in_file = {} if env_file is None else {k: v for k, v in dotenv_values(env_file).items() if v is not None}
    given: dict[str, Any] = {}
    for name in Settings.model_fields:
        if environ.get(name.upper()):
            given[name] = environ[name.upper()]
    given |= read_files({**in_file, **environ}, names=[name.upper() for name in Settings.model_fields])
    try:
        return Settings(_env_file=env_file, **given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        variable = str(first["loc"][0]).upper() if first["loc"] else "settings"
        raise SettingsError(variable, wants=str(first["msg"]).removeprefix("Value error, ")) from None


def _checked_url(url: str, *, schemes: set[str]) -> str:
    """The URL, or ValueError without repeating it: it may hold a password."""
    if urlsplit(url).scheme not in schemes:
        raise ValueError(f"wants a URL that begins with {' or '.join(f'{scheme}://' for scheme in sorted(schemes))}")
    return url


def _decoded(key: str) -> bytes:
    """The bytes of a base64 key; none for text that is no base64."""
    try:
        return base64.b64decode(key, validate=True)
    except binascii.Error:
        return b""
