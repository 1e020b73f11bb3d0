"""The whole service on real servers and a real simulator, inside the test's own loop.

simulator   a running broker simulator of the test's own
settings    the service's settings: a fresh database, an empty Redis, that simulator
service     the running service: ``service.client`` has the key, ``service.services`` is its inside
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.api.services import Services
from app.bootstrap import open_services
from app.commands.serve import bind, serving
from app.composition.parts import Overrides
from app.config import Settings
from simulator.server import RunningSimulator, running_simulator
from simulator.settings import SimulatorSettings
from tests.plain_http import NO_CERTIFICATES

API_KEY = "integration-test-key"
REQUEST_S = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningService:
    """``client`` sends the key, ``anonymous`` does not; ``ws_url`` is for WebSocket clients."""

    url: str
    ws_url: str
    client: httpx.AsyncClient
    anonymous: httpx.AsyncClient
    services: Services
    settings: Settings


def http_client(url: str, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=REQUEST_S, trust_env=False, verify=NO_CERTIFICATES)


@asynccontextmanager
async def running_service(settings: Settings, *, overrides: Overrides | None = None) -> AsyncIterator[RunningService]:
    """What ``python -m app serve`` runs, on a free port."""
    listener = bind(settings.host, 0)
    with listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            open_services(settings, overrides=overrides) as services,
            serving(services, listener),
            http_client(url, {"X-API-Key": API_KEY}) as client,
            http_client(url, {}) as anonymous,
        ):
            yield RunningService(
                url=url,
                ws_url=url.replace("http:", "ws:"),
                client=client,
                anonymous=anonymous,
                services=services,
                settings=settings,
            )


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(SimulatorSettings(port=0)) as running:
        yield running


@pytest.fixture
def settings(
    simulator: RunningSimulator, database_url: str, redis_url: str, redis_prefix: str, tmp_path: Path
) -> Settings:
    """Development settings with the simulator's first account; a test changes them with ``model_copy``."""
    return Settings(
        api_key=API_KEY,
        port=0,
        database_url=database_url,
        redis_url=redis_url,
        redis_prefix=redis_prefix,
        log_dir=tmp_path / "logs",
        kite_rest_url=simulator.url,
        kite_ws_url=simulator.ws_url,
        kite_api_key="simkey",
        kite_api_secret="simsecret",
        kite_access_token="simtoken",
        market_calendar="always",
    )


@asynccontextmanager
async def running_replica(settings: Settings, name: str) -> AsyncIterator[RunningService]:
    """One of several services of this process. Without names of their own each takes the other for its dead
    predecessor, and takes its leases."""
    async with running_service(settings, overrides=Overrides(replica=name)) as running:
        yield running


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[RunningService]:
    async with running_service(settings) as running:
        yield running


def revoke_old_key(service: RunningService) -> None:
    """From now on the service knows the newest of its keys alone."""
    keys = service.services.api_keys
    keys._by_digest[:] = keys._by_digest[:1]  # noqa: SLF001 - keys cannot be revoked while it runs yet
