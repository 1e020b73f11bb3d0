"""``python -m app serve``: bind the port, open the services, serve; and close everything in the opposite order.

A first SIGTERM or SIGINT drains the process: it is not ready any more, closes its streams with 1012, finishes its
requests and ends its tasks, each within a bound. A second signal does not wait. A background task that ends by itself
stops the process in the same order, with exit code 1, so that the platform starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI
from loguru import logger

from app.api.connection_limits import ConnectionLimits, ConnectionPlaces, ProxyAddresses
from app.api.http_connection import KEEP_ALIVE_S, HttpConnection
from app.api.services import Services
from app.api.socket_connection import SocketConnection
from app.bootstrap import open_services
from app.config import Settings
from app.errors import StartError
from app.main import create_app
from app.ops.logging import hide_in_logs
from app.ops.redaction import forms_of, secrets_of

STREAMS_CLOSE_S = 1.0
REQUESTS_FINISH_S = 2  # whole seconds, as uvicorn wants them
WS_MAX_BYTES = 65_536
BACKLOG = 2048
ACCEPTS = 16  # connections accepted in one round of the event loop; uvloop takes one for each listening descriptor
RECEIVE_BUFFER_BYTES = 65_536  # of each connection: no client can make one read larger
PINGS_PER_IDLE_TIMEOUT = 3


def bind(host: str, port: int) -> socket.socket:
    """A socket on the port, bound before anything else starts. Raises StartError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartError(f"PORT: cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's factory where it is installed; None for asyncio's own loop."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415 - optional: it does not exist on every platform

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class _Server(uvicorn.Server):
    """A server that leaves signals alone: uvicorn would close the streams' sockets without their close reason.

    ``listening`` is set once connections are accepted.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def descriptors() -> int:
    """How many files and connections this process may have open, after raising the limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS names a hard limit that it does not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def make_server(app: FastAPI, settings: Settings) -> _Server:
    """A server for sockets that are bound already; its bounds are set here and in its two protocol classes."""
    places = ConnectionPlaces(ConnectionLimits.of(settings.max_connections, descriptors=descriptors()))
    proxies = ProxyAddresses(settings.trusted_proxies)
    config = uvicorn.Config(
        app,
        http=partial(HttpConnection, places=places, proxies=proxies),  # type: ignore[arg-type]  # called as a class
        ws=SocketConnection,
        ws_max_size=WS_MAX_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=settings.ws_idle_timeout_s / PINGS_PER_IDLE_TIMEOUT,
        ws_ping_timeout=None,  # a stream ends a client that shows no sign of life, see ``ws_idle_timeout_s``
        timeout_keep_alive=KEEP_ALIVE_S,
        lifespan="on",
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=REQUESTS_FINISH_S,
    )
    return _Server(config)


@asynccontextmanager
async def serving(services: Services, listener: socket.socket) -> AsyncIterator[uvicorn.Server]:
    """Accept requests inside the block; leaving it drains the server."""
    app = create_app(services.settings, services=services)
    server = make_server(app, services.settings)
    async with asyncio.TaskGroup() as group:
        listeners = [listener, *(listener.dup() for _ in range(ACCEPTS - 1))]
        task = group.create_task(server.serve(sockets=listeners), name="http server")
        await server.listening.wait()
        try:
            yield server
        finally:
            await _begin_drain(services)
            server.should_exit = True
            await asyncio.wait([task])  # bounded by uvicorn: REQUESTS_FINISH_S, then it cancels


class _Signals:
    """SIGTERM and SIGINT: the first stops in order (or cancels the start), a second one does not wait for requests."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.server: uvicorn.Server | None = None
        self._main = asyncio.current_task()

    def _arrived(self) -> None:
        if self.server is None:
            if self._main is not None and not self.stop.is_set():
                self._main.cancel()
        elif self.stop.is_set():
            self.server.force_exit = True
        self.stop.set()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle both signals inside the block."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._arrived)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def serve(settings: Settings, listener: socket.socket) -> int:
    """Run until a signal or a failure; returns the exit code. Raises ServiceError when the start is refused."""
    signals = _Signals()
    code = 0
    with contextlib.closing(listener), signals.handled():
        try:
            async with open_services(settings) as services, serving(services, listener) as server:
                signals.server = server
                hide_in_logs(partial(_secrets, settings, services))
                freeze_garbage_collection()
                logger.info("listening on http://{}:{} ({})", *listener.getsockname()[:2], settings.environment)
                code = await exit_code(stop=signals.stop, failed=services.supervisor.failed)
                logger.info("stopping")
        except asyncio.CancelledError:
            if not signals.stop.is_set():
                raise
    return code


def _secrets(settings: Settings, services: Services) -> tuple[str, ...]:
    """What no log line may contain: of the settings, and of the accounts as they are now."""
    return (*secrets_of(settings), *forms_of(services.accounts.secrets()))


def freeze_garbage_collection() -> None:
    """Exclude the objects of the start from garbage collection: they live as long as the process.

    Otherwise each full collection stops everything for 70 ms, and for 120 ms with a hundred accounts.
    """
    gc.collect()
    gc.freeze()


async def _begin_drain(services: Services) -> None:
    """Become not ready, answer waiting order requests, and close every stream so that its client connects elsewhere."""
    services.health.begin_draining()
    services.orders.stop_waiting()
    await asyncio.gather(
        services.order_stream.close(timeout=STREAMS_CLOSE_S), services.tick_stream.close(timeout=STREAMS_CLOSE_S)
    )


async def exit_code(*, stop: asyncio.Event, failed: asyncio.Event) -> int:
    """Wait for either event: 0 after a signal to stop, 1 when a background task has ended by itself."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(event.wait()) for event in (stop, failed)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    return 1 if failed.is_set() else 0
