"""`python -m embedded.watch webhooks` registers, receives and verifies."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import API_KEY, RunningService
from tests.integration.webhooks.test_operations import ORDER, settings  # noqa: F401 - the fixture of webhooks


@pytest.mark.parametrize(
    ("stop_signal", "ignored"),
    [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGHUP, False)],
    ids=["Ctrl-C", "interrupt in a script's background", "termination", "hang-up"],
)
async def test_the_printed_command_shows_a_verified_delivery(
    service: RunningService, tmp_path: Path, stop_signal: signal.Signals, ignored: bool
) -> None:
    """And removes its webhook at the end, however it is ended: a shell starts its background with SIGINT ignored."""
    (tmp_path / "run.json").write_text(json.dumps({"url": service.url, "api_key": API_KEY}))
    command = (sys.executable, "-u", "-m", "embedded.watch", "webhooks")
    before = signal.signal(stop_signal, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env={"DATA_DIR": str(tmp_path)}, stdout=asyncio.subprocess.PIPE
        )
    finally:
        signal.signal(stop_signal, before)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert b"sends the events of primary" in await process.stdout.readline()
        assert (await service.client.post("/orders?wait=10", json=ORDER)).status_code == 201
        first = (await process.stdout.readline()).decode()
        assert first.startswith("verified  msg_")
    process.send_signal(stop_signal)
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    assert (await service.client.get("/advanced/webhooks")).json()["data"] == []
