"""A receiver in Node.js: the official JavaScript library verifies what is sent, and ajv its schema.

Both are independent of what the service and the other tests use.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.events.event_schemas import event_schemas
from tests.conformance.node import SCRIPTS, install_client
from tests.integration.webhooks.conftest import Environment
from tests.unit.events.test_event_schemas import PLACEMENT

WAIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReceiver:
    """``port`` takes webhooks; ``results`` are the lines that it printed."""

    process: asyncio.subprocess.Process
    port: int

    async def know(self, *secrets: str) -> None:
        """Tell it the secrets with which it verifies."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"secrets": secrets, "schemas": event_schemas()}).encode() + b"\n")
        await self.process.stdin.drain()

    async def results(self, count: int) -> list[dict[str, Any]]:
        return [await _line(self.process) for _ in range(count)]


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_S):
        found: dict[str, Any] = json.loads(await process.stdout.readline())
    return found


@asynccontextmanager
async def node_receiver(modules: Path) -> AsyncIterator[NodeReceiver]:
    node = shutil.which("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node,
        str(SCRIPTS / "webhooks.mjs"),
        env={"PATH": os.environ["PATH"], "KITE_MODULES": str(modules)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield NodeReceiver(process=process, port=(await _line(process))["port"])
    finally:
        process.kill()
        await process.wait()


@pytest.fixture(scope="module")
def modules() -> Path:
    return install_client()


async def test_the_javascript_library_verifies_every_delivery(hooks: Environment, modules: Path) -> None:
    """While secrets rotate the old and the new one verify; another one never does. The bodies fit their schemas."""
    async with node_receiver(modules) as receiver:
        made = await hooks.register(url=f"http://127.0.0.1:{receiver.port}/", ordered=True)
        newer = await hooks.service.rotate_secret(made.webhook.webhook_id)
        await receiver.know("whsec_" + "A" * 43 + "=", made.secret, newer)
        await hooks.append("order_failed", times=5, data=PLACEMENT | {"tag": 'ü€𝄞 \u2028 \\ " end'})
        async with hooks.delivering():
            results = await receiver.results(5)
            await hooks.settled(made.webhook.webhook_id, delivered=5)
    assert [one["seq"] for one in results] == [1, 2, 3, 4, 5]
    assert {tuple(one["by"]) for one in results} == {(1, 2)}
    assert {one["schema"] for one in results} == {None}
    assert len({one["id"] for one in results}) == 5


async def test_the_javascript_validator_refuses_what_does_not_fit(hooks: Environment, modules: Path) -> None:
    """Else the test above would prove nothing."""
    async with node_receiver(modules) as receiver:
        made = await hooks.register(url=f"http://127.0.0.1:{receiver.port}/")
        await receiver.know(made.secret)
        await hooks.append("order_failed", data=PLACEMENT | {"quantity": "many"})
        async with hooks.delivering():
            (result,) = await receiver.results(1)
    assert "must be integer" in result["schema"]
    assert result["by"] == [0]
