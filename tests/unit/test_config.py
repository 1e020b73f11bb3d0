"""Settings: read from where they are named, refused in one line that names the variable."""

import base64
from itertools import pairwise
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.config import Settings, load_settings
from app.errors import SettingsError
from app.ops.redaction import refusal_line

PRODUCTION_EXAMPLE = Path(__file__).parents[2] / ".env.production.example"
EXAMPLE = Path(__file__).parents[2] / ".env.example"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "API_KEY": "0123456789abcdef",
    "DATABASE_URL": "postgresql://ticker:x8Gq2mPz@db/ticker",
    "REDIS_URL": "redis://:p4Ksw9Lq@127.0.0.1:6379/0",
    "ORDER_TAG_SECRET": base64.b64encode(bytes(32)).decode(),
}


def _load(environ: dict[str, str]) -> Settings:
    return load_settings(environ, env_file=None)


def test_the_example_lists_every_setting_and_nothing_else() -> None:
    """A new setting without a line in ``.env.example`` fails here."""
    assert {name.lower() for name in dotenv_values(EXAMPLE)} == set(Settings.model_fields)


def test_the_example_loads_as_it_is_and_shows_the_defaults() -> None:
    """Copying it changes nothing but the key that it asks you to change."""
    loaded = load_settings({}, env_file=EXAMPLE)
    shown = Settings(api_key=loaded.api_key, instrument_db_host="127.0.0.1")
    assert loaded == shown


def test_the_example_for_production_passes_its_checks_once_its_blanks_are_filled() -> None:
    """Each blank is needed: as it is, the start is refused."""
    given = {name: value or "" for name, value in dotenv_values(PRODUCTION_EXAMPLE).items()}
    random = base64.b64encode(bytes(range(32))).decode()
    blanks = {
        "API_KEY": "5f3a9c1e7b2d4860a1c3e5f7",
        "INSTRUMENT_DB_HOST": "db.internal",
        "INSTRUMENT_DB_PASSWORD": "x8Gq2mPz",
        "REDIS_URL": "rediss://:p4Ksw9Lq@redis.internal:6380/0",
        "KITE_API_KEY": "abcdefgh",
        "KITE_API_SECRET": "ijklmnop",
        "EGRESS_IP": "203.0.113.7",
        "TOKEN_KEY": random,
        "ORDER_TAG_SECRET": random,
    }
    assert {name for name, value in given.items() if not value} == blanks.keys()
    with pytest.raises(SettingsError):
        _load(given)
    settings = _load(given | blanks)
    assert (settings.environment, settings.source_is_simulator) == ("production", False)


def test_every_line_of_the_example_is_explained() -> None:
    """Each block of variables has a comment above it."""
    lines = EXAMPLE.read_text().splitlines()
    for before, line in pairwise(lines):
        assert not line or line.startswith("#") or before.startswith("#") or "=" in before, line


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """``.env`` is for what the environment does not set; an empty variable sets nothing."""
    file = tmp_path / ".env"
    file.write_text("PORT=1111\nHOST=10.0.0.1\nLOG_LEVEL=\n")
    settings = load_settings({"PORT": "2222", "HOST": ""}, env_file=file)
    assert (settings.port, settings.host, settings.log_level) == (2222, "10.0.0.1", "INFO")


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """Named in the environment or in ``.env``, without the line's end."""
    secret = tmp_path / "key"
    secret.write_text("from-a-file\n")
    assert _load({"API_KEY_FILE": str(secret)}).api_key.get_secret_value() == "from-a-file"
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"KITE_API_SECRET_FILE={secret}\n")
    assert load_settings({}, env_file=dotenv).kite_api_secret.get_secret_value() == "from-a-file"


@pytest.mark.parametrize(
    ("environ", "variable", "wants"),
    [
        ({"PORT": "many"}, "PORT", "integer"),
        ({"PORT": "70000"}, "PORT", "65535"),
        ({"ENVIRONMENT": "prod"}, "ENVIRONMENT", "'production'"),
        ({"LIMIT_DEFAULT": "lots"}, "LIMIT_DEFAULT", "10/minute"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL", "redis://"),
        ({"DATABASE_URL": "mysql://u:sesame@x/y"}, "DATABASE_URL", "postgresql://"),
        ({"KITE_WS_URL": "https://x"}, "KITE_WS_URL", "wss://"),
        ({"REDIS_PREFIX": "no colon"}, "REDIS_PREFIX", "pattern"),
        ({"TOKEN_KEY": "short"}, "TOKEN_KEY", "32 random bytes"),
        ({"API_KEY_FILE": "/does/not/exist"}, "API_KEY_FILE", "readable"),
        ({"API_KEY_FILE": "/x", "API_KEY": "y"}, "API_KEY_FILE", "only one"),
        ({"TICK_FLUSH_MS": "0"}, "TICK_FLUSH_MS", "greater than or equal to 1"),
        ({"ORDER_TAG_SECRET": "sesame"}, "ORDER_TAG_SECRET", "32 random bytes in base64"),
        ({"ORDER_TAG_CODE": "IO"}, "ORDER_TAG_CODE", "pattern"),
        ({"API_CLIENT": "open sesame"}, "API_CLIENT", "pattern"),
        ({"TRUSTED_PROXIES": "not-an-ip"}, "TRUSTED_PROXIES", "addresses or networks"),
        ({"TRUSTED_PROXIES": "10.0.0.1,10.0.0.0/99"}, "TRUSTED_PROXIES", "addresses or networks"),
        ({"LIMIT_DEFAULT": "0/second"}, "LIMIT_DEFAULT", "at least 1"),
        ({"LIMIT_WEBHOOKS": "-1/minute"}, "LIMIT_WEBHOOKS", "10/minute"),
        ({"API_KEY": "sesame\nopen-the-door-0123"}, "API_KEY", "header"),
        ({"API_KEY": "sésame-open-the-door"}, "API_KEY", "header"),
        ({"API_KEY_OLD": "open sesame 0123456"}, "API_KEY_OLD", "header"),
        ({"INSTRUMENT_DB_PORT": "0"}, "INSTRUMENT_DB_PORT", "greater than or equal to 1"),
        ({"INSTRUMENT_DB_PORT": "70000"}, "INSTRUMENT_DB_PORT", "65535"),
        ({"REDIS_URL": "redis://"}, "REDIS_URL", "host"),
        ({"REDIS_URL": "redis://:sesame@x:99999/0"}, "REDIS_URL", "port"),
        ({"KITE_REST_URL": "https://"}, "KITE_REST_URL", "host"),
        ({"KITE_WS_URL": "wss://x:http"}, "KITE_WS_URL", "port"),
        ({"KITE_PROXY": "http://me:sesame@:3128"}, "KITE_PROXY", "host"),
        ({"HOST": "all interfaces"}, "HOST", "pattern"),
        ({"IN_DOUBT_WINDOW_S": "nan"}, "IN_DOUBT_WINDOW_S", "finite"),
        ({"TICK_STALE_AFTER_S": "inf"}, "TICK_STALE_AFTER_S", "finite"),
        ({"RISK_MAX_ORDER_VALUE": "NaN"}, "RISK_MAX_ORDER_VALUE", "finite"),
        ({"DATABASE_POOL_SIZE": "1"}, "DATABASE_POOL_SIZE", "greater than or equal to 2"),
        ({"REDIS_TIMEOUT_S": "0"}, "REDIS_TIMEOUT_S", "greater than 0"),
        ({"DATABASE_ANSWER_TIMEOUT_S": "2"}, "DATABASE_ANSWER_TIMEOUT_S", "DATABASE_STATEMENT_TIMEOUT_S"),
        ({"FEED_RECONNECT_FIRST_S": "50", "FEED_RECONNECT_CAP_S": "5"}, "FEED_RECONNECT_CAP_S", "shorter"),
    ],
)
def test_a_bad_setting_is_named_with_what_it_wants(environ: dict[str, str], variable: str, wants: str) -> None:
    """One line, without the value: it may be a secret."""
    with pytest.raises(SettingsError) as caught:
        _load(environ)
    assert caught.value.variable == variable
    assert wants in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert refusal_line(str(caught.value)) == str(caught.value)  # nothing in it is taken for a secret


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"API_KEY_ENABLED": "false"}, "API_KEY_ENABLED"),
        ({"API_KEY": ""}, "API_KEY"),
        ({"API_KEY": "too-short"}, "API_KEY"),
        ({"DATABASE_URL": "postgresql://ticker:postgres@db/ticker"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://ticker@db/ticker"}, "DATABASE_URL"),
        ({"DATABASE_URL": "", "INSTRUMENT_DB_HOST": "db"}, "INSTRUMENT_DB_PASSWORD"),
        ({"DATABASE_URL": "postgresql://ticker@db/ticker?password=postgres"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://ticker:x8Gq2mPz@db/ticker?password=postgres"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://ticker:p%6Fstgres@db/ticker"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://ticker:Postgres123@db/ticker"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://ticker:1234@db/ticker"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql:///ticker?host=db&user=ticker"}, "DATABASE_URL"),
        ({"DATABASE_URL": "", "INSTRUMENT_DB_PASSWORD": "ChangeMe"}, "INSTRUMENT_DB_PASSWORD"),
        ({"REDIS_URL": ""}, "REDIS_URL"),
        ({"REDIS_URL": "redis://127.0.0.1:6379/0"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://:redis@127.0.0.1:6379/0"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://127.0.0.1:6379/0?password=foobared"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://:p4Ksw9Lq@10.0.0.7:6379/0"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://:p4Ksw9Lq@redis:6379/0"}, "REDIS_URL"),
        ({"REDIS_URL": "rediss://redis:6380/0"}, "REDIS_URL"),
        ({"REDIS_URL": "unix:///run/redis.sock"}, "REDIS_URL"),
        ({"MARKET_CALENDAR": "always"}, "MARKET_CALENDAR"),
        ({"KITE_REST_URL": "http://127.0.0.1:9100"}, "KITE_REST_URL"),
        ({"KITE_REST_URL": "https://evil.kite.trade"}, "KITE_REST_URL"),
        ({"KITE_WS_URL": "ws://127.0.0.1:9100"}, "KITE_REST_URL"),
        ({"ORDER_TAG_SECRET": ""}, "ORDER_TAG_SECRET"),
        ({"API_KEY_OLD": "too-short"}, "API_KEY_OLD"),
        ({"API_KEY": "a" * 40}, "API_KEY"),
        ({"API_KEY": "abcabcabcabcabcabcabc"}, "API_KEY"),
        ({"API_KEY_OLD": "1212121212121212"}, "API_KEY_OLD"),
        ({"API_KEY": "change-me-to-a-key-of-your-own"}, "API_KEY"),
        ({"API_KEY": "Please-ChangeMe-0123"}, "API_KEY"),
        ({"API_KEY": "your-api-key-goes-here"}, "API_KEY"),
    ],
)
def test_production_refuses_what_is_unsafe(change: dict[str, str], variable: str) -> None:
    """Each refusal names its variable; development takes the same settings."""
    with pytest.raises(SettingsError) as caught:
        _load(PRODUCTION | change)
    assert caught.value.variable == variable
    assert refusal_line(str(caught.value)) == str(caught.value)
    _load(PRODUCTION | change | {"ENVIRONMENT": "development"})


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])  # noqa: S104 - refused
def test_authentication_may_be_off_in_development_only(environment: str, host: str) -> None:
    """Whatever the service listens on."""
    with pytest.raises(SettingsError, match="API_KEY_ENABLED: must be true"):
        _load(PRODUCTION | {"ENVIRONMENT": environment, "HOST": host, "API_KEY_ENABLED": "false"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "192.168.1.2", "trading.example"])  # noqa: S104
def test_authentication_may_be_off_on_loopback_only(host: str) -> None:
    """Every other machine of the network could place orders."""
    with pytest.raises(SettingsError, match="API_KEY_ENABLED: must be true"):
        _load({"HOST": host, "API_KEY_ENABLED": "false"})
    for loopback in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert not _load({"HOST": loopback, "API_KEY_ENABLED": "false"}).api_key_enabled


def test_staging_needs_a_key_that_is_hard_to_guess() -> None:
    """It may be connected to the real broker."""
    for key in ("", "too-short", "a" * 40, "change-me-to-a-key-of-your-own"):
        with pytest.raises(SettingsError, match=r"API_KEY: .* in staging"):
            _load({"ENVIRONMENT": "staging", "API_KEY": key})
    assert _load({"ENVIRONMENT": "staging", "API_KEY": "0123456789abcdef"}).environment == "staging"


def test_production_starts_with_what_is_safe() -> None:
    """And on a simulator only when it is called paper."""
    assert not _load(PRODUCTION).source_is_simulator
    for redis in (
        "rediss://:p4Ksw9Lq@redis:6380/0",
        "unix://:p4Ksw9Lq@/run/redis.sock",
        "redis://:p4Ksw9Lq@[::1]:6379",
    ):
        _load(PRODUCTION | {"REDIS_URL": redis})
    _load(PRODUCTION | {"REDIS_URL": "redis://:p4Ksw9Lq@redis:6379", "REDIS_WITHOUT_TLS": "allow"})
    _load(PRODUCTION | {"DATABASE_URL": "postgresql:///ticker?host=db&user=ticker&password=x8Gq2mPz"})
    paper = PRODUCTION | {"KITE_REST_URL": "http://127.0.0.1:9100", "KITE_WS_URL": "ws://127.0.0.1:9100"}
    assert _load(paper | {"PAPER": "true", "MARKET_CALENDAR": "always"}).source_is_simulator


def test_the_database_url_may_be_given_in_parts() -> None:
    """Passwords with odd characters survive."""
    parts = {"INSTRUMENT_DB_HOST": "db", "INSTRUMENT_DB_PASSWORD": "p@ss/w:rd", "INSTRUMENT_DB_USER": "me"}
    assert _load(parts).database_dsn == "postgresql://me:p%40ss%2Fw%3Ard@db:5432/ticker"


def test_secrets_do_not_show_in_the_representation() -> None:
    """A settings object in a log line gives nothing away."""
    key = base64.b64encode(bytes(32)).decode()
    settings = _load(
        {"API_KEY": "c4n4ry-1", "KITE_API_SECRET": "c4n4ry-2", "TOKEN_KEY": key, "REDIS_URL": "redis://:c4n4ry-3@x"}
    )
    assert "c4n4ry" not in repr(settings)
    assert key not in repr(settings)
    assert settings.token_key_bytes == bytes(32)


def test_versions_of_the_tag_secret_are_read_newest_first() -> None:
    """Commas and line ends both separate them, as in a file that an operator edits."""
    newest, oldest = base64.b64encode(bytes(32)).decode(), base64.b64encode(bytes(31) + b"1").decode()
    for between in (",", "\n", ", \n"):
        settings = _load({"ORDER_TAG_SECRET": f"{newest}{between}{oldest}"})
        assert settings.order_tag_secrets == (bytes(32), bytes(31) + b"1")


def test_without_a_tag_secret_it_follows_from_what_names_the_deployment() -> None:
    """Equal at every replica and after a loss of the database; two apps, and two prefixes, have different ones."""
    one, two = {"KITE_API_KEY": "one"}, {"KITE_API_KEY": "two"}
    assert _load(one).order_tag_secrets == _load(one).order_tag_secrets
    assert len({_load(each).order_tag_secrets for each in (one, two, one | {"REDIS_PREFIX": "other:"})}) == 3


@pytest.mark.parametrize("name", ["EGRESS_IP", "EGRESS_SOURCE_IP", "ALLOWED_EGRESS_IPS"])
def test_an_egress_address_that_is_none_is_refused(name: str) -> None:
    """By the name of its variable."""
    with pytest.raises(SettingsError, match=name):
        _load({name: "broker.example"})
