"""A misspelt setting refuses the start: it would be a limit, or a switch, without effect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import Settings, load_settings
from app.errors import SettingsError
from app.setting_names import OTHER_PROGRAMS, PREFIXES, differences, nearest, refuse_misnamed

NAMES = frozenset(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("ENVIROMENT", "ENVIRONMENT"),
        ("ENVIRONEMNT", "ENVIRONMENT"),
        ("RISK_MAX_ORDER_VALU", "RISK_MAX_ORDER_VALUE"),
        ("RISK_MAX_ORDERVALUE", "RISK_MAX_ORDER_VALUE"),
        ("risk_max_order_value", "RISK_MAX_ORDER_VALUE"),
        ("APIKEY", "API_KEY"),
        ("API_KEYS", "API_KEY"),
        ("API_KEY_FIEL", "API_KEY_FILE"),
        ("API_KEY_ENABLE", "API_KEY_ENABLED"),
        ("LOGDIR", "LOG_DIR"),
        ("PROT", "PORT"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("ALLOWED_EGRESS_IP", "ALLOWED_EGRESS_IPS"),
        ("EGRESS_PI", "EGRESS_IP"),
        ("MARKET_CALENDER", "MARKET_CALENDAR"),
        ("TOKENDIR", "TOKEN_DIR"),
        ("KITE_ACESS_TOKEN", "KITE_ACCESS_TOKEN"),
    ],
)
def test_a_near_miss_refuses_the_start_with_the_name_that_was_meant(variable: str, meant: str) -> None:
    """Also from ``.env``, and never with the value."""
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: "sesame"}, env_file=None)
    assert caught.value.variable == variable
    assert f"{meant} was meant" in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("variable", ["RISK_LIMIT", "KITE_TIMEOUT", "REDIS_HOST", "DATABASE_PASSWORD", "LOG_FORMAT"])
def test_an_unknown_variable_with_a_prefix_of_ours_refuses_the_start(variable: str) -> None:
    """Who sets it expects an effect."""
    with pytest.raises(SettingsError, match=f"{variable}: there is no such setting"):
        load_settings({variable: "1"}, env_file=None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PATH", "/bin"),
        ("PAGER", "less"),
        ("HOSTNAME", "pod-1"),
        ("SIM_PORT", "9100"),
        ("DATA_DIR", ".data"),
        ("TICKER_SERVICE_SERVICE_HOST", "10.0.0.1"),
        ("REDIS_SERVICE_HOST", "10.0.0.1"),
        ("REDIS_SERVICE_PORT_REDIS", "6379"),
        ("REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("REDIS_PORT_6379_TCP", "tcp://10.0.0.1:6379"),
        ("REDIS_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("PYTHONPATH", "/x"),
        ("PGPASSWORD", "x"),
        ("HTTP_PROXY", "http://x"),
        ("POD_IP", "10.0.0.1"),
        ("RISK_LIMIT", ""),
    ],
)
def test_variables_of_others_are_left_alone(variable: str, value: str) -> None:
    """The shell's, other programs', those that Kubernetes sets for each Service, and empty ones."""
    refuse_misnamed({variable: value}, names=NAMES)


def test_a_variable_of_dotenv_is_checked_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The library itself would leave it out without a word."""
    file = tmp_path_factory.mktemp("settings") / ".env"
    file.write_text("RISK_MAX_QUANTTY=10\n")
    with pytest.raises(SettingsError, match="RISK_MAX_QUANTITY was meant"):
        load_settings({}, env_file=file)


def test_every_prefix_is_one_of_a_setting_and_no_setting_is_a_near_miss() -> None:
    """A prefix that no setting has would refuse variables of other programs."""
    for prefix in PREFIXES:
        assert any(name.startswith(prefix) for name in NAMES), prefix
    refuse_misnamed(dict.fromkeys([*NAMES, *(f"{name}_FILE" for name in NAMES), *OTHER_PROGRAMS], "1"), names=NAMES)


@given(name=st.sampled_from(sorted(NAMES)), place=st.integers(min_value=0, max_value=40))
def test_one_letter_too_few_is_always_noticed(name: str, place: int) -> None:
    """Of every setting; what is left may be the name of another one."""
    at = place % len(name)
    short = name[:at] + name[at + 1 :]
    assert short in NAMES or nearest(short, NAMES) is not None


@given(st.text("AB_", max_size=6), st.text("AB_", max_size=6))
def test_the_number_of_differences_is_a_distance(one: str, other: str) -> None:
    """The same in both directions, and none between equal names alone."""
    assert differences(one, other) == differences(other, one)
    assert (differences(one, other) == 0) == (one == other)
