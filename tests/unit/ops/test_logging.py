"""Planted secrets must not come out of the logs."""

import ast
import io
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from pydantic import SecretStr

from app.config import Settings
from app.errors import SettingsError
from app.ops.logging import configure_logging, hide_in_logs
from app.ops.redaction import escape, forms_of, redact, refusal_line
from tests.source_code import python_files, tree_of

CANARY = "CANARYc4n4ry0123456789abcdef"


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[io.StringIO]:
    """Logging as the service sets it up, to a string and a file; put back afterwards."""
    before, levels = logging.getLogger().handlers[:], logging.getLogger().level
    stream = io.StringIO()
    configure_logging(Settings(log_dir=tmp_path, log_level="DEBUG"), stream=stream)
    yield stream
    logger.remove()
    logger.configure(patcher=lambda _: None)
    logging.basicConfig(handlers=before, level=levels, force=True)


@pytest.mark.parametrize(
    "text",
    [
        f"wss://ws.kite.trade/?api_key=abc&access_token={CANARY}",
        f"wss://ws.kite.trade/?api_key={CANARY}&access_token=x",
        f"Authorization: token key:{CANARY}",
        f"{{'Authorization': 'token key:{CANARY}'}}",
        f"(b'authorization', b'token key:{CANARY}')",
        f'{{"access_token": "{CANARY}", "user_id": "AB1234"}}',
        f"{{'access_token': '{CANARY}'}}",
        f"X-API-Key: {CANARY}",
        f"api_secret={CANARY}",
        f"request_token={CANARY}&action=login",
        f"postgresql://ticker:{CANARY}@db.internal/ticker",
        f"redis://:{CANARY}@10.0.0.7:6379/0",
        f"signing with whsec_{CANARY}",
        f"key kg_live_12345678_{CANARY}",
        f"Bearer {CANARY}",
        f"KITE_ACCESS_TOKEN={CANARY}",
        f"KITE_API_SECRET={CANARY}",
        f"KITE_API_KEY={CANARY}",
        f"INSTRUMENT_DB_PASSWORD={CANARY}",
        f"PGPASSWORD={CANARY}",
        f"ORDER_TAG_SECRET: {CANARY}",
        f"API_KEY_OLD={CANARY}",
        f"api-key: {CANARY}",
        f"x_api_key_of_mine={CANARY}",
        f'"WebSocket /ws/ticks?token={CANARY}" [accepted]',
        f"GET https://localhost:8080/ws/ticks?key={CANARY} failed",
        f"/ws/ticks?{CANARY}",
    ],
)
def test_text_written_like_a_credential_is_hidden(text: str) -> None:
    """URLs, headers, JSON and representations alike."""
    assert CANARY not in redact(text)
    assert "[hidden]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "order 151220000000000 is COMPLETE",
        "instrument_token=408065 mode=full",
        "12 tokens subscribed",
        "API_KEY: at least 16 characters are required in production; `openssl rand -hex 24` makes one",
        "TOKEN_KEY: wants 32 random bytes in base64, such as `openssl rand -base64 32` prints",
        "API_KEY_FILE: to be the only one: API_KEY is set too",
        "API_KEY_FILE=/run/secrets/api_key",
        "KITE_API_KEY: the api_key of your Kite Connect app (or ACCOUNTS_FILE for several)",
        "INSTRUMENT_DB_PASSWORD: a password of its own is required in production, not a default one",
        "https://kite.zerodha.com/connect/login is the page; is it open? yes",
    ],
)
def test_text_without_a_credential_stays_readable(text: str) -> None:
    """Instrument tokens are no secrets."""
    assert redact(text) == text


def refusals_in_the_source() -> list[str]:
    """The text of each refused setting that is written out in the source."""
    found = []
    for path in python_files("app"):
        for call in (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)):
            wants = next((one.value for one in call.keywords if one.arg == "wants"), None)
            if isinstance(wants, ast.Constant):
                found.append(str(wants.value))
    return found


def test_refused_settings_stay_readable() -> None:
    """The first thing that a newcomer reads, whatever the name of the setting is."""
    refusals = refusals_in_the_source()
    assert len(refusals) > 5
    for text in refusals:
        for name in ("API_KEY", "TOKEN_KEY", "INSTRUMENT_DB_PASSWORD", "KITE_ACCESS_TOKEN"):
            assert refusal_line(f"{name}: {text}") == f"{name}: {text}"


def test_known_secrets_are_hidden_wherever_they_stand() -> None:
    """A value that nothing introduces, also in the form that a URL has, and the longer one first."""
    secrets = forms_of([SecretStr("p@ssword/1"), SecretStr("abcdefgh"), SecretStr("abcdefghij"), SecretStr("short")])
    text = redact("got abcdefghij, abcdefgh, short, p%40ssword/1", secrets=secrets)
    assert text == "got [hidden], [hidden], short, [hidden]"
    url = forms_of([SecretStr("postgresql://ticker:p%40ssword9@db/ticker")])
    assert redact("p%40ssword9 and p@ssword9 at db", secrets=url) == "[hidden] and [hidden] at db"


def test_secrets_that_come_later_are_hidden(logs: io.StringIO) -> None:
    """Of the settings from the start, of the accounts as they log in."""
    tokens: list[SecretStr] = []
    hide_in_logs(lambda: forms_of(tokens))
    tokens.append(SecretStr(CANARY))
    logger.info("the broker said: {} is wrong", CANARY)
    assert "the broker said: [hidden] is wrong" in logs.getvalue()


def test_secrets_of_the_settings_are_hidden_by_value(tmp_path: Path) -> None:
    """Also the password inside a URL."""
    stream = io.StringIO()
    settings = Settings(
        log_dir=tmp_path, api_key=SecretStr(CANARY), redis_url=SecretStr("redis://:r3d1s-canary@127.0.0.1/0")
    )
    configure_logging(settings, stream=stream, sinks="stream")
    logger.info("{} and r3d1s-canary", CANARY)
    logger.remove()
    assert "[hidden] and [hidden]" in stream.getvalue()


FORGED = "x\n2026-11-30T12:00:00.000+0000 ERROR   app.orders FORGED\r\x1b[2J\x9b2J\u2028\u202e"


def test_no_text_forges_a_line_or_speaks_to_a_terminal(logs: io.StringIO, tmp_path: Path) -> None:
    """In a message, in a field and in the message of an exception."""
    logger.info("halted: {}", FORGED)
    logger.bind(reason=FORGED).info("halted")
    try:
        raise ValueError(FORGED)  # noqa: TRY301
    except ValueError as error:
        logger.opt(exception=error).error("failed")
    logging.getLogger("library").warning("said %s", FORGED)
    for text in (logs.getvalue(), (tmp_path / "service.log").read_text()):
        assert not any(line.startswith("2026-11-30T12:00:00") for line in text.splitlines())
        assert not set(text) & set("\r\x1b\x9b\u2028\u202e")
        assert text.count("app.orders FORGED") == 4
    assert escape("a\tb\n") == r"a\tb\n"


def test_only_owner_and_group_read_the_file(logs: io.StringIO, tmp_path: Path) -> None:
    """It has names of accounts and ids of orders; a file of an earlier version is closed too."""
    logger.info("a line")
    assert stat.S_IMODE((tmp_path / "service.log").stat().st_mode) & 0o137 == 0
    logger.remove()
    (tmp_path / "service.log").chmod(0o644)
    configure_logging(Settings(log_dir=tmp_path), stream=logs)
    assert stat.S_IMODE((tmp_path / "service.log").stat().st_mode) == 0o640
    configure_logging(Settings(log_dir=tmp_path / "new"), stream=logs)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) & 0o027 == 0


def test_no_canary_reaches_stderr_or_the_file(logs: io.StringIO, tmp_path: Path) -> None:
    """Messages, tracebacks and the lines of libraries all pass the same filter."""
    logger.info("connecting to wss://x/?access_token={}", CANARY)
    try:
        raise RuntimeError(f"GET https://api.kite.trade/session?access_token={CANARY}")  # noqa: TRY301
    except RuntimeError as error:
        logger.opt(exception=error).error("failed")
    logging.getLogger("library").warning("header Authorization: token k:%s", CANARY)
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?access_token=%s", CANARY)
    logger.info("settings {}", Settings(api_key=SecretStr(CANARY)))
    text = logs.getvalue()
    assert "failed" in text
    assert "RuntimeError" in text
    assert "library" in text
    assert "HTTP Request" not in text
    assert CANARY not in text
    assert CANARY not in (tmp_path / "service.log").read_text()


def test_a_directory_that_cannot_be_written_is_a_bad_setting(logs: io.StringIO, tmp_path: Path) -> None:
    """One line that names the variable."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(SettingsError, match="LOG_DIR"):
        configure_logging(Settings(log_dir=in_the_way), stream=logs)


def test_lines_carry_the_request_id(logs: io.StringIO) -> None:
    """What happens inside a request can be found by its id."""
    with logger.contextualize(request_id="req-7"):
        logger.info("inside")
    logger.info("outside")
    inside, outside = logs.getvalue().splitlines()
    assert "[req-7]" in inside
    assert "[" not in outside


def test_lines_end_with_their_fields(logs: io.StringIO) -> None:
    """In the order in which they were bound, text with a space quoted, and without a secret."""
    logger.bind(account_id="primary", attempt=2, reason="no frame for 5 s", access_token=CANARY).warning("disconnected")
    assert (
        "disconnected account_id=primary attempt=2 reason='no frame for 5 s' access_token=[hidden]" in logs.getvalue()
    )
