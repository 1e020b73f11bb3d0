"""A running broker and a running service for tests that only send requests; tests that break things start their own.

broker         session: a simulator process with frozen prices of NSE:INFY and NSE:SBIN at 1500, faults cleared
service        session: `python -m app serve` on a database of its own, against that broker
module_database a migrated database for the module, for services that are killed and started again
"""

from collections.abc import Iterator

import pytest

from tests.e2e.environment import Broker, Service, running_broker, running_service
from tests.servers import temporary_database

PRICE = 1500


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as broker:
        broker.freeze("NSE:INFY", "NSE:SBIN", last_price=PRICE)
        yield broker


@pytest.fixture(scope="session")
def service(
    shared_broker: Broker,
    postgres_server: str,
    migrated_template: str,
    redis_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    with (
        temporary_database(postgres_server, template=migrated_template) as database_url,
        running_service(
            tmp_path_factory.mktemp("service"),
            shared_broker,
            database_url=database_url,
            redis_url=redis_server,
            redis_prefix="e2e:",
        ) as running,
    ):
        yield running


@pytest.fixture
def broker(shared_broker: Broker) -> Iterator[Broker]:
    """The shared broker without a fault and with a live token, before and after."""
    shared_broker.clear_faults()
    yield shared_broker
    shared_broker.clear_faults()
    shared_broker.post("/_sim/session", {"user_id": "SIM001", "expired": False})


@pytest.fixture(scope="module")
def module_database(postgres_server: str, migrated_template: str) -> Iterator[str]:
    with temporary_database(postgres_server, template=migrated_template) as url:
        yield url
