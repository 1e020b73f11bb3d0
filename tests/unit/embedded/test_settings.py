"""The settings of `make run`."""

from pathlib import Path

import pytest

from embedded.settings import BadSetting, RunSettings, read_settings


def test_without_variables_the_defaults_are_used() -> None:
    """Empty counts as not set: `PORT= make run` is `make run`."""
    expected = RunSettings(port=8080, sim_port=9100, data_dir=Path(".data"))
    assert read_settings({}) == expected
    assert read_settings({"PORT": "", "SIM_PORT": " ", "DATA_DIR": "", "API_KEY": "", "REDIS_URL": ""}) == expected


def test_every_variable_is_read() -> None:
    """Each variable sets its field."""
    environ = {
        "PORT": "8081",
        "SIM_PORT": "9101",
        "DATA_DIR": "/srv/data",
        "API_KEY": "key",
        "DATABASE_URL": "postgresql://u:p@h/d",
        "REDIS_URL": "rediss://h",
    }
    assert read_settings(environ) == RunSettings(
        port=8081,
        sim_port=9101,
        data_dir=Path("/srv/data"),
        api_key="key",
        database_url="postgresql://u:p@h/d",
        redis_url="rediss://h",
    )


@pytest.mark.parametrize(
    ("name", "value", "wants"),
    [
        ("PORT", "http", "must be a port from 1 to 65535, not 'http'"),
        ("PORT", "0", "must be a port from 1 to 65535, not '0'"),
        ("PORT", "65536", "must be a port from 1 to 65535, not '65536'"),
        ("SIM_PORT", "-1", "must be a port from 1 to 65535, not '-1'"),
        ("SIM_PORT", "٣", "must be a port from 1 to 65535, not '٣'"),
        ("SIM_PORT", "8080", "must differ from PORT; both are 8080"),
        ("API_KEY", "two words", "must be printable ASCII without spaces: it travels in a header"),
        ("DATABASE_URL", "mysql://h/d", "must begin with postgresql:// or postgres://"),
        ("REDIS_URL", "http://h", "must begin with redis:// or rediss://"),
    ],
)
def test_the_error_of_a_bad_value_names_the_variable_and_what_is_expected(name: str, value: str, wants: str) -> None:
    """The error is one line."""
    with pytest.raises(BadSetting) as refusal:
        read_settings({name: value})
    assert str(refusal.value) == f"{name} {wants}"
