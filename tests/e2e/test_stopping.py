"""A service that stops while orders are in flight, on either event loop: nothing hangs, nothing is lost."""

import json
import signal
from collections.abc import Iterator
from functools import partial

import pytest
from websockets.sync.client import ClientConnection

from tests.e2e.environment import Broker, Service, authenticate, close_of, limit_order, running_service, wait_for

ON_ASYNCIO = (
    "import runpy, sys; sys.modules['uvloop'] = None; sys.argv = ['app', 'serve']; "
    "runpy.run_module('app', run_name='__main__')"
)
LOOPS = {"uvloop": ("-m", "app", "serve"), "asyncio": ("-c", ON_ASYNCIO)}
STOP_S = 10.0


@pytest.fixture(params=sorted(LOOPS))
def stopping(
    request: pytest.FixtureRequest,
    shared_broker: Broker,
    database_url: str,
    redis_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A service with the product's own times, on one loop; without uvloop it is as where uvloop does not exist."""
    # a deployment of its own each time: orders of another database under its tags would be a loss of this one
    deployment = "idle" if "idle" in request.node.name else "busy"
    with running_service(
        tmp_path_factory.mktemp("stopping"),
        shared_broker,
        python=LOOPS[request.param],
        database_url=database_url,
        redis_url=redis_server,
        redis_prefix=f"stop-{deployment}-{request.param}:",
        order_send_timeout_s="8",
    ) as service:
        yield service


def test_a_stop_with_orders_under_way(stopping: Service, broker: Broker) -> None:
    """SIGTERM: streams 1012, exit code 0 in time; the next start brings every accepted order to its end, once."""
    check_ticks_and_orders_flow(stopping)
    since = len(broker.ledger())
    broker.fault("late_visible", params={"ms": 10_000})
    broker.fault("hang", params={"ms": 60_000})
    broker.fault("delay", times=-1, params={"ms": 700})
    accepted = []
    with stopping.stream() as orders, stopping.stream("/ws/ticks") as ticks:
        for stream in (orders, ticks):
            authenticate(stream)
        for symbol in ("INFY", "SBIN"):
            order = limit_order(tradingsymbol=symbol)
            answer = stopping.client.post("/orders", params={"wait": 0}, json=order)
            assert answer.status_code == 202
            accepted.append(answer.headers["location"])
        wait_for("an order under way", lambda: len(broker.ledger(since)) >= 1)
        code, seconds = stopping.terminate()
        assert (code, close_of(orders), close_of(ticks)) == (0, (1012, "restart"), (1012, "restart"))
    assert seconds < STOP_S
    assert "Traceback" not in stopping.log.read_text()
    broker.clear_faults()
    stopping.start()
    for location in accepted:
        wait_for("its end", partial(is_completed, stopping, location), within_s=40)
    assert len(broker.ledger(since)) == len(accepted)


def is_completed(service: Service, location: str) -> bool:
    return bool(service.client.get(location).json()["status"] == "completed")


def check_ticks_and_orders_flow(service: Service) -> None:
    """The feed, the streams and REST work on this loop."""
    subscribed = service.client.post("/subscriptions", json={"exchange": "NSE", "tradingsymbol": "TCS"})
    assert subscribed.status_code == 201
    token = subscribed.json()["instrument_token"]
    with service.stream("/ws/ticks") as stream:
        assert authenticate(stream)["type"] == "authenticated"
        stream.send(json.dumps({"action": "subscribe", "tokens": [token], "mode": "ltp"}))
        tick = wait_for("a tick", lambda: (one := receive_any(stream)).get("instrument_token") == token and one)
        assert tick["source"] == "simulator"
    assert service.client.post("/orders", json=limit_order()).json()["status"] == "completed"


def receive_any(stream: ClientConnection) -> dict[str, object]:
    found: dict[str, object] = json.loads(stream.recv(timeout=10))
    return found


def test_an_idle_service_stops_at_once(stopping: Service) -> None:
    """SIGINT, as Ctrl-C in a terminal sends it: exit code 0."""
    code, seconds = stopping.terminate(signal.SIGINT)
    assert code == 0
    assert seconds < 5
