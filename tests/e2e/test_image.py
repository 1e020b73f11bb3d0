"""What goes into the image is enough: only what the Dockerfile copies, in production, with secrets from files."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
import pytest

from embedded.ports import find_free_port
from simulator.server import RunningSimulator
from tests.documents import ROOT, read
from tests.integration.conftest import simulator  # noqa: F401 - a fixture

PROGRAM_S = 30.0
STOP_S = 10.0


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A directory with the sources that the Dockerfile copies, and nothing else."""
    for name in re.findall(r"^COPY (\w+) \w+$", read("Dockerfile"), re.MULTILINE):
        shutil.copytree(ROOT / name, tmp_path / "srv" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "srv"


def _environ(tmp_path: Path, simulator: RunningSimulator, **secrets: str) -> dict[str, str]:  # noqa: F811
    """Production on paper: secrets in files, the rest in variables, nothing of our own environment but PATH."""
    environ = {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "production",
        "PAPER": "true",
        "PORT": str(find_free_port()),
        "LOG_DIR": str(tmp_path / "logs"),
        "MARKET_CALENDAR": "always",
        "KITE_REST_URL": simulator.url,
        "KITE_WS_URL": simulator.ws_url,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name, value in secrets.items():
        path = tmp_path / name.lower()
        path.write_text(f"{value}\n")
        environ[f"{name}_FILE"] = str(path)
    return environ


async def _run(image: Path, environ: dict[str, str], *arguments: str) -> tuple[int | None, str]:
    """``python -m app ARGUMENTS`` in the image's directory: exit code and all of its output."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *arguments, cwd=image, env=environ, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(PROGRAM_S):
        output, _ = await program.communicate()
    return program.returncode, output.decode()


async def _wait_until_ready(url: str) -> None:
    async with asyncio.timeout(PROGRAM_S), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get("/health/ready")).is_success:
                    return
            await asyncio.sleep(0.05)


async def test_the_image_migrates_serves_logs_in_and_stops(
    image: Path, tmp_path: Path, simulator: RunningSimulator, empty_database_url: str, redis_url: str  # noqa: F811
) -> None:  # fmt: skip
    """The README's commands in their order; the health check of the Dockerfile passes; SIGTERM ends it with 0."""
    environ = _environ(
        tmp_path, simulator, API_KEY="the-key-of-an-image-1", DATABASE_URL=empty_database_url, REDIS_URL=redis_url,
        KITE_API_KEY="simkey", KITE_API_SECRET="simsecret",
    )  # fmt: skip
    assert (await _run(image, environ, "serve"))[0] == 1  # the schema is not there yet
    code, output = await _run(image, environ, "migrate")
    assert (code, output.startswith("the schema went from nothing to ")) == (0, True)

    service = await asyncio.create_subprocess_exec(sys.executable, "-m", "app", "serve", cwd=image, env=environ)
    try:
        await _wait_until_ready(f"http://127.0.0.1:{environ['PORT']}")
        (check,) = re.findall(r'CMD \["python", "-c", "(.+)"\]', read("Dockerfile"))
        probe = await asyncio.create_subprocess_exec(sys.executable, "-c", check, env=environ)
        login = await _run(image, environ, "login", "--request-token", "simreqtoken")
        assert (await probe.wait(), login[0]) == (0, 0)
        assert "primary is logged in as SIM001" in login[1]
        begun = time.monotonic()
        service.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            assert await service.wait() == 0
        assert time.monotonic() - begun < STOP_S
    finally:
        if service.returncode is None:
            service.kill()
            await service.wait()
