"""The environment of the service."""

from pathlib import Path

from embedded.product import build_service_environment


def test_no_setting_of_a_real_account_reaches_the_service() -> None:
    """`make run` trades with the simulator only, whatever the shell has set."""
    environ = {
        "PATH": "/bin",
        "KITE_API_SECRET": "real",
        "KITE_ACCESS_TOKEN_FILE": "/run/secrets/real",
        "ACCOUNTS_FILE": "real.yaml",
        "TOKEN_DIR": "/real",
        "ENVIRONMENT": "production",
    }
    assert build_service_environment(
        environ,
        database_url="postgresql://d",
        redis_url="redis://r",
        simulator_url="http://127.0.0.1:9100",
        api_key="key",
        tag_secret="secret",
        database_record=Path("/data/database.json"),
        port=8080,
        logs=Path("/data/logs"),
    ) == {
        "PATH": "/bin",
        "ENVIRONMENT": "development",
        "DATABASE_URL": "postgresql://d",
        "REDIS_URL": "redis://r",
        "API_KEY": "key",
        "ORDER_TAG_SECRET": "secret",
        "DATABASE_RECORD_FILE": "/data/database.json",
        "PORT": "8080",
        "LOG_DIR": "/data/logs",
        "KITE_REST_URL": "http://127.0.0.1:9100",
        "KITE_WS_URL": "ws://127.0.0.1:9100",
        "KITE_LOGIN_URL": "http://127.0.0.1:9100/connect/login",
        "KITE_API_KEY": "simkey",
        "KITE_API_SECRET": "simsecret",
        "KITE_ACCESS_TOKEN": "simtoken",
        "MARKET_CALENDAR": "always",
        "WEBHOOK_ALLOW_LOOPBACK": "true",
    }
