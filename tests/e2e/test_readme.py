"""The README's commands work as printed: every curl command, and the official client's program."""

import asyncio
import base64
import sys
import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.config import Settings
from simulator.server import RunningSimulator
from tests.documents import code_blocks, curl_commands, read
from tests.integration.conftest import (  # noqa: F401 - fixtures
    RunningService,
    service,
    simulator,
)
from tests.integration.conftest import settings as settings_of_tests  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
README_SIMULATOR = "127.0.0.1:9100"
PROGRAM_S = 20.0


@pytest.fixture
def settings(settings_of_tests: Settings) -> Settings:  # noqa: F811
    """What `make run` sets beside them: webhooks on this machine, whose secrets are sealed."""
    webhooks = {"webhook_allow_loopback": True, "order_tag_secret": SecretStr(base64.b64encode(bytes(32)).decode())}
    return settings_of_tests.model_copy(update=webhooks)


async def test_every_curl_command_of_the_readme_works(service: RunningService) -> None:  # noqa: F811
    """In the order of the document, with the running service's address and key; the batch is 201 and completed."""
    answers = {}
    for command in curl_commands(read("README.md")):
        headers = command.headers | {name: str(uuid.uuid4()) for name in command.headers if name == "Idempotency-Key"}
        headers.pop("X-API-Key", None)
        client = service.client if "X-API-Key" in command.headers else service.anonymous
        answer = await client.request(command.method, command.path, headers=headers, json=command.body)
        assert answer.is_success, (command, answer.text)
        answers[command.path] = answer
    assert set(answers) == {
        "/health",
        "/advanced/batch-orders",
        "/orders?dry_run=true",
        "/subscriptions",
        "/advanced/webhooks",
    }
    batch = answers["/advanced/batch-orders"]
    assert (batch.status_code, batch.json()["status"], batch.json()["succeeded"]) == (201, "completed", 2)
    (request,) = answers["/orders?dry_run=true"].json()["requests"]
    assert request["form"]["market_protection"] == "-1"


async def test_the_readmes_python_client_gets_quotes_and_ticks(simulator: RunningSimulator) -> None:  # noqa: F811
    """The program as printed, with the simulator's address: a quote over REST, then prices from the stream."""
    (program,) = code_blocks(read("README.md"), "python")
    program = program.replace(README_SIMULATOR, simulator.url.removeprefix("http://"))
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-W", "ignore", "-c", program, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert running.stdout is not None
        async with asyncio.timeout(PROGRAM_S):
            quote = (await running.stdout.readline()).decode()
            prices = [float(await running.stdout.readline()) for _ in range(2)]
    finally:
        running.kill()
        await running.wait()
    assert "'NSE:INFY': {'instrument_token': 408065" in quote
    assert all(price > 0 for price in prices)
