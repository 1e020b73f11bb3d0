"""The shell loop of docs/connectors.md, as it stands there, with stand-ins for the tools of the message brokers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.db.postgres import open_database
from tests.documents import code_blocks, read
from tests.integration.conftest import API_KEY, RunningService
from tests.integration.events.conftest import append
from tests.waiting import until

TAKE = """#!/bin/bash
# refuses the third message once, as a broker that is away does
[ $# -gt 4 ] && [ "$1" = -P ] && text=$(cat) || text=$3
echo >> calls
[ "$(wc -l < calls)" = 3 ] && exit 1
printf '%s\\n' "$text" >> taken
printf '%s\\n' "$*" >> arguments
"""
SHORT_SLEEP = "#!/bin/bash\nexec /bin/sleep 0.1\n"


@asynccontextmanager
async def running_loop(service: RunningService, directory: Path, **environment: str) -> AsyncIterator[None]:
    """The document's block in a shell of its own."""
    tools = directory / "tools"
    tools.mkdir(exist_ok=True)
    for name, text in (("kcat", TAKE), ("nats", TAKE), ("sleep", SHORT_SLEEP)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (block,) = code_blocks(read("docs/connectors.md"), "bash")
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        block.replace("http://127.0.0.1:8080", service.url),
        cwd=directory,
        env={"PATH": f"{tools}:{os.environ['PATH']}", "API_KEY": API_KEY, **environment},
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def taken(directory: Path) -> list[dict[str, Any]]:
    path = directory / "taken"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="wants bash and curl")
@pytest.mark.parametrize("environment", [{"KAFKA": "127.0.0.1:9092"}, {}], ids=["kcat", "nats"])
async def test_the_loop_loses_nothing_where_the_broker_refuses_and_where_it_is_stopped(
    service: RunningService, tmp_path: Path, environment: dict[str, str]
) -> None:
    """A snapshot at first, then every event; one that was refused comes again; a new loop goes on after the last."""
    database = await open_database(service.settings.database_dsn, name="test", min_size=1, max_size=1)

    async def write(count: int) -> None:
        await append(database, count)
        service.services.order_stream.wake("primary")

    async def has_all(count: int) -> bool:
        remembered = tmp_path / "last-event-id"
        return len(taken(tmp_path)) == count and remembered.read_text().endswith(f":{count - 1}")

    async with running_loop(service, tmp_path, **environment):
        await until(lambda: has_all(1))
        await write(4)
        await until(lambda: has_all(5))
    await write(2)
    async with running_loop(service, tmp_path, **environment):
        await until(lambda: has_all(7))
    await database.close()
    snapshot, *events = taken(tmp_path)
    assert snapshot["type"] == "snapshot"
    assert [one["seq"] for one in events] == [1, 2, 3, 4, 5, 6]
