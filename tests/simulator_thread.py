"""A simulator in a thread of its own, for tests without an event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from simulator.server import RunningSimulator, running_simulator
from simulator.settings import SimulatorSettings

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0


@contextlib.contextmanager
def simulator_in_thread(settings: SimulatorSettings | None = None) -> Iterator[RunningSimulator]:
    """Serves until the block ends. Use it over HTTP only: its objects belong to the thread.

    Raises PortTakenError, and at the end of the block what a crashed loop raised.
    """
    started: Future[RunningSimulator] = Future()
    ended: Future[None] = Future()
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), stop))
        async with running_simulator(settings) as running:
            started.set_result(running)
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - whatever it was belongs to the caller's thread
            (ended if started.done() else started).set_exception(error)
        else:
            ended.set_result(None)

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    running = started.result(START_TIMEOUT_S)
    try:
        yield running
    finally:
        loop, stop = stopping[0]
        loop.call_soon_threadsafe(stop.set)
        ended.result(STOP_TIMEOUT_S)
        thread.join(STOP_TIMEOUT_S)
