"""Serves a simulator: REST and WebSocket on one port, and the loops of market, postbacks and expiries.

`running_simulator` is for tests and other programs: it serves in the running event loop until the block ends. `serve`
is for the command line: it runs until SIGINT or SIGTERM.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import uvicorn

from simulator.assembly import Simulator, build_simulator
from simulator.market.market_loop import run_market
from simulator.replay import BadRecordingError
from simulator.settings import SimulatorSettings
from simulator.state.journal import JournalError
from simulator.stream.protocol import TickerProtocol
from simulator.transport import SimulatorHttpProtocol

__all__ = ["PortTakenError", "RunningSimulator", "Simulator", "build_simulator", "running_simulator", "serve"]

PASS_TIME_EVERY_S = 0.5
STOP_TIMEOUT_S = 2
KEEP_ALIVE_S = 75
MAX_FRAME_BYTES = 1 << 20
"""The largest message a WebSocket client may send."""


class PortTakenError(Exception):
    """The simulator cannot listen on its port; the text names it and the reason."""


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that listens. `url` and `ws_url` have no trailing slash, as official clients expect their `root`."""

    simulator: Simulator
    url: str
    ws_url: str
    port: int
    loops: tuple[asyncio.Task[None], ...]
    """They run for ever: one that ends has crashed."""


@contextlib.asynccontextmanager
async def running_simulator(settings: SimulatorSettings | None = None) -> AsyncIterator[RunningSimulator]:
    """Serves until the block ends; without settings on a free port.

    Raises PortTakenError, BadRecordingError and JournalError at the start, and at the end of the block the error of a
    loop that crashed.
    """
    settings = settings or SimulatorSettings(port=0)
    listener = bind(settings.host, settings.port)
    port = listener.getsockname()[1]
    try:
        simulator = build_simulator(settings)
    except (BadRecordingError, JournalError):
        listener.close()
        raise
    server = create_server(simulator)
    await server.startup(sockets=[listener])
    loops = start_loops(simulator)
    authority = f"{settings.host}:{port}"
    try:
        yield RunningSimulator(simulator, url=f"http://{authority}", ws_url=f"ws://{authority}", port=port, loops=loops)
    finally:
        await stop(server, simulator, listener=listener, loops=loops)


async def serve(settings: SimulatorSettings, *, announce: Callable[[RunningSimulator], None]) -> None:
    """Serves until a signal; `announce` is called when it listens. Raises as `running_simulator` does."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with running_simulator(settings) as running:
        announce(running)
        stopped = asyncio.create_task(stopping.wait(), name="signal")
        await asyncio.wait({stopped, *running.loops}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, so that a taken port is known before the simulator is built. Raises PortTakenError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio disables Nagle only so
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTakenError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def create_server(simulator: Simulator) -> uvicorn.Server:
    """A uvicorn server without pings, deflate, logging and signal handlers, which Kite does not have."""
    config = uvicorn.Config(
        simulator.app,
        http=SimulatorHttpProtocol,
        ws=TickerProtocol,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        ws_max_size=MAX_FRAME_BYTES,
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    return server


def start_loops(simulator: Simulator) -> tuple[asyncio.Task[None], ...]:
    """Starts everything that runs beside the requests."""
    tasks = [
        asyncio.create_task(run_market(simulator.market, clock=simulator.clock), name="market"),
        asyncio.create_task(simulator.postbacks.run(), name="postbacks"),
        asyncio.create_task(pass_time(simulator), name="expiry"),
    ]
    if simulator.player is not None:
        tasks.append(asyncio.create_task(simulator.player.run(), name="replay"))
    return tuple(tasks)


async def pass_time(simulator: Simulator) -> None:
    """Expires orders and follows the day's schedule, until cancelled."""
    while True:
        simulator.exchange.pass_time()
        await asyncio.sleep(PASS_TIME_EVERY_S)


async def stop(
    server: uvicorn.Server, simulator: Simulator, *, listener: socket.socket, loops: tuple[asyncio.Task[None], ...]
) -> None:
    """Stops loops, listener, connections and requests, and closes the journal. Raises the error of a crashed loop."""
    for task in loops:
        task.cancel()
    outcomes = await asyncio.gather(*loops, return_exceptions=True)
    await simulator.fault_middleware.stop()
    for listening in server.servers:
        listening.close()
    listener.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    if requests := set(server.server_state.tasks):
        _, unfinished = await asyncio.wait(requests, timeout=STOP_TIMEOUT_S)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
    if simulator.journal is not None:
        simulator.journal.close()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
