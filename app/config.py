"""Settings from the environment or ``.env``, checked once at the start: a wrong one stops it with one clear line.

Each setting has its comment in ``.env.example``, and the kind of its value in ``setting_values``. Any of them may come
from a file instead (``API_KEY_FILE=/run/secrets/api_key``), and an empty variable counts as not set. ``Settings(...)``
reads only its arguments and ``load_settings`` the environment, so tests get exactly the settings that they name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app import setting_values as kinds
from app.errors import SettingsError
from app.safe_values import is_default_password, is_loopback, weakness_of
from app.setting_files import read_files
from app.setting_names import refuse_misnamed
from app.setting_values import decoded, listed, passwords_of

_ZERODHA = ("https", "api.kite.trade", "wss", "ws.kite.trade")


class Settings(BaseSettings):
    """All settings; names are the environment variables in lower case. Durations end in ``_s`` and are seconds."""

    model_config = SettingsConfigDict(env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True)

    # the process
    environment: kinds.Environment = "development"
    paper: bool = False
    host: kinds.HostName = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    log_dir: Path = Path("logs")
    trusted_proxies: kinds.Networks = ""
    trusted_hosts: str = ""
    trusted_origins: str = ""
    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # who may call
    api_key: kinds.HeaderKey = SecretStr("")
    api_key_enabled: bool = True
    api_key_old: kinds.HeaderKey = SecretStr("")
    api_client: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = ""

    # PostgreSQL and Redis
    database_url: kinds.DatabaseUrl = SecretStr("")
    instrument_db_host: str = ""
    instrument_db_port: kinds.ServerPort = 5432
    instrument_db_name: str = "ticker"
    instrument_db_user: str = "ticker"
    instrument_db_password: SecretStr = SecretStr("")
    database_pool_size: kinds.PoolSize = 10
    database_engine_pool_size: kinds.PoolSize = 6
    database_pool_wait_s: Annotated[kinds.Number, Field(gt=0, le=10)] = 1.5
    database_connect_timeout_s: Annotated[int, Field(ge=2, le=30)] = 3
    database_statement_timeout_s: Annotated[kinds.Number, Field(ge=0.1, le=10)] = 2.5
    database_lock_timeout_s: Annotated[kinds.Number, Field(ge=0.1, le=10)] = 2.0
    database_idle_timeout_s: Annotated[kinds.Number, Field(ge=1, le=60)] = 10.0
    database_answer_timeout_s: Annotated[kinds.Number, Field(ge=0.2, le=15)] = 3.0
    redis_url: kinds.RedisUrl = SecretStr("redis://127.0.0.1:6379/0")
    redis_without_tls: kinds.Permission = "refuse"
    redis_timeout_s: Annotated[kinds.Number, Field(gt=0, le=10)] = 2.0
    redis_connect_timeout_s: Annotated[kinds.Number, Field(gt=0, le=10)] = 2.0
    redis_pool_size: kinds.PoolSize = 50
    redis_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,32}:$")] = "ticker:"

    # the broker, and the address from which orders leave
    egress_ip: kinds.Address | None = None
    egress_source_ip: kinds.Address | None = None
    allowed_egress_ips: kinds.Addresses = ""
    kite_rest_url: kinds.RestUrl = "https://api.kite.trade"
    kite_ws_url: kinds.StreamUrl = "wss://ws.kite.trade"
    kite_proxy: kinds.ProxyUrl = SecretStr("")
    kite_ipv4_only: bool = False
    kite_login_url: kinds.RestUrl = "https://kite.zerodha.com/connect/login"
    kite_api_key: str = ""
    kite_api_secret: SecretStr = SecretStr("")
    kite_access_token: SecretStr = SecretStr("")
    accounts_file: Path | None = None
    token_dir: Path | None = None
    token_key: kinds.SealingKey = SecretStr("")
    market_calendar: kinds.CalendarMode = "exchange"

    # orders
    order_tag_secret: kinds.TagSecretVersions = SecretStr("")
    order_tag_code: Annotated[str, Field(pattern=r"^([0-9A-HJKMNP-TV-Z]{2})?$")] = ""
    database_record_file: Path | None = None
    after_recovery: kinds.AfterRecovery = "reduce_only"
    in_doubt_window_s: Annotated[kinds.Number, Field(ge=1, le=3600)] = 120.0
    order_freshness_market_s: Annotated[kinds.Number, Field(gt=0, le=3600)] = 3.0
    order_freshness_limit_s: Annotated[kinds.Number, Field(gt=0, le=3600)] = 30.0
    order_send_timeout_s: Annotated[kinds.Number, Field(gt=0, le=60)] = 8.0
    account_lease_s: Annotated[kinds.Number, Field(ge=1, le=60)] = 10.0
    order_claim_lease_s: Annotated[kinds.Number, Field(ge=1, le=60)] = 10.0
    order_block_on_doubt_s: Annotated[kinds.Number, Field(ge=0, le=600)] = 15.0
    order_poll_s: Annotated[kinds.Number, Field(gt=0, le=10)] = 0.25
    order_audit_s: Annotated[kinds.Number, Field(gt=0, le=600)] = 30.0
    orders_in_flight: Annotated[int, Field(ge=1, le=10)] = 4
    batch_deadline_s: Annotated[kinds.Number, Field(gt=0, le=600)] = 600.0
    exit_deadline_s: Annotated[kinds.Number, Field(gt=0, le=900)] = 300.0
    order_halt_doubts: Annotated[int, Field(ge=1, le=1000)] = 3
    order_halt_doubt_age_s: Annotated[kinds.Number, Field(gt=0, le=3600)] = 30.0
    order_alarm_doubt_age_s: Annotated[kinds.Number, Field(gt=0, le=3600)] = 60.0
    order_fill_grace_s: Annotated[kinds.Number, Field(gt=0, le=3600)] = 60.0

    # limits of an account's orders; 0 is off, None is the default for the real broker (off at a simulator)
    risk_max_order_value: kinds.Amount | None = None
    risk_max_quantity: kinds.Count | None = None
    risk_price_band_percent: kinds.Percent | None = None
    risk_price_max_age_s: Annotated[kinds.Number, Field(gt=0, le=3600)] = 5.0
    risk_stale_price: kinds.Permission = "allow"
    risk_max_identical_orders: kinds.Count | None = None
    risk_identical_window_s: Annotated[kinds.Number, Field(gt=0, le=60)] = 2.0
    risk_max_open_orders: kinds.Count | None = None

    # ticks
    tick_flush_ms: Annotated[int, Field(ge=1, le=1000)] = 2
    tick_stale_after_s: Annotated[kinds.Number, Field(gt=0)] = 30.0
    feed_silence_s: Annotated[kinds.Number, Field(gt=0, le=60)] = 5.0
    feed_reconnect_first_s: Annotated[kinds.Number, Field(gt=0, le=60)] = 1.0
    feed_reconnect_cap_s: Annotated[kinds.Number, Field(gt=0, le=300)] = 60.0

    # WebSockets and webhooks
    ws_auth_timeout_s: Annotated[kinds.Number, Field(gt=0, le=60)] = 10.0
    ws_heartbeat_s: Annotated[kinds.Number, Field(gt=0, le=60)] = 15.0
    ws_idle_timeout_s: Annotated[kinds.Number, Field(gt=0, le=600)] = 60.0
    ws_connections_per_account: Annotated[int, Field(ge=1, le=10000)] = 100
    ws_queue_length: Annotated[int, Field(ge=1, le=100000)] = 1000
    webhook_allow_loopback: bool = False
    event_retention_days: Annotated[int, Field(ge=1, le=3650)] = 30

    # limits of requests
    limit_default: kinds.RequestLimit = "100/second"
    limit_address: kinds.RequestLimit = "200/second"
    limit_batch_orders: kinds.RequestLimit = "10/minute"
    limit_subscriptions: kinds.RequestLimit = "30/minute"
    limit_webhooks: kinds.RequestLimit = "20/minute"
    limit_instrument_refresh: kinds.RequestLimit = "5/hour"
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

    @model_validator(mode="after")
    def _refuse_what_is_unsafe(self) -> Self:
        refuse_contradictions(self)
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
        return decoded(self.token_key.get_secret_value()) or None

    @property
    def order_tag_secrets(self) -> tuple[bytes, ...]:
        """The versions of the tags' secret, the newest first; without one it follows from Kite app and Redis prefix."""
        given = tuple(decoded(part) for part in listed(self.order_tag_secret.get_secret_value()))
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
    _refuse_unsafe_servers(settings)
    if settings.webhook_allow_loopback:
        raise SettingsError("WEBHOOK_ALLOW_LOOPBACK", wants="must be false in production")
    if not settings.order_tag_secret.get_secret_value() and not settings.source_is_simulator:
        raise SettingsError("ORDER_TAG_SECRET", wants="32 random bytes in base64 are required in production")
    if settings.source_is_simulator and not settings.paper:
        raise SettingsError(
            "KITE_REST_URL",
            wants="it and KITE_WS_URL must be Zerodha's in production; PAPER=true allows a simulator",
        )
    if settings.market_calendar == "always" and not settings.source_is_simulator:
        raise SettingsError("MARKET_CALENDAR", wants="must be exchange at Zerodha: its markets close")


def _refuse_unsafe_servers(settings: Settings) -> None:
    """Passwords of PostgreSQL and Redis in production, however they are given, and TLS to a Redis elsewhere."""
    given = passwords_of(settings.database_dsn)
    if not given or any(is_default_password(one) for one in given):
        variable = "DATABASE_URL" if settings.database_url.get_secret_value() else "INSTRUMENT_DB_PASSWORD"
        raise SettingsError(variable, wants="a password of its own is required in production, not a default one")
    redis_url = settings.redis_url.get_secret_value()
    given = passwords_of(redis_url)
    if not given or any(is_default_password(one) for one in given):
        raise SettingsError("REDIS_URL", wants="a password of its own is required in production, not a default one")
    redis = urlsplit(redis_url)
    is_open = redis.scheme == "redis" and not is_loopback(redis.hostname or "")
    if is_open and settings.redis_without_tls == "refuse":
        wants = "rediss:// is required to another machine in production"
        raise SettingsError("REDIS_URL", wants=f"{wants}; REDIS_WITHOUT_TLS=allow is for a network of your own")


def refuse_contradictions(settings: Settings) -> None:
    """Values that each mean something, and nothing together. Raises SettingsError."""
    for shorter, longer in (
        ("database_statement_timeout_s", "database_answer_timeout_s"),
        ("feed_reconnect_first_s", "feed_reconnect_cap_s"),
    ):
        if getattr(settings, shorter) > getattr(settings, longer):
            raise SettingsError(longer.upper(), wants=f"must not be shorter than {shorter.upper()}")


def load_settings(environ: Mapping[str, str] | None = None, *, env_file: Path | None = Path(".env")) -> Settings:
    """The settings of this process. Raises SettingsError with the first variable that is wrong and what it wants."""
    environ = os.environ if environ is None else environ
    in_file = {} if env_file is None else {k: v for k, v in dotenv_values(env_file).items() if v is not None}
    names = {name.upper() for name in Settings.model_fields}
    refuse_misnamed({**in_file, **environ}, names=names)
    given: dict[str, Any] = {}
    for name in Settings.model_fields:
        if environ.get(name.upper()):
            given[name] = environ[name.upper()]
    given |= read_files({**in_file, **environ}, names=names)
    try:
        return Settings(_env_file=env_file, **given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        variable = str(first["loc"][0]).upper() if first["loc"] else "settings"
        raise SettingsError(variable, wants=str(first["msg"]).removeprefix("Value error, ")) from None
