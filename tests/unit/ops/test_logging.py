"""Planted secrets must not come out of the logs."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from pydantic import SecretStr

from app.config import Settings
from app.errors import SettingsError
from app.ops.logging import configure_logging, redact

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
    ],
)
def test_text_written_like_a_credential_is_hidden(text: str) -> None:
    """URLs, headers, JSON and representations alike."""
    assert CANARY not in redact(text)
    assert "[hidden]" in redact(text)


@pytest.mark.parametrize(
    "text", ["order 151220000000000 is COMPLETE", "instrument_token=408065 mode=full", "12 tokens subscribed"]
)
def test_text_without_a_credential_stays_readable(text: str) -> None:
    """Instrument tokens are no secrets."""
    assert redact(text) == text


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
