"""The loop that lets time pass: it steps the market, and the market tells the sockets and the exchange."""

import asyncio

from simulator.clock import SimClock
from simulator.market.market import Market

STEP_S = 0.05
SHORTEST_STEP_S = 0.005
SHORTEST_PAUSE_S = 0.001  # for requests and sockets, however late the steps are
_STEPS_SUFFICE = 5_000  # ticks a second up to which the ordinary step is short enough


def step_period(ticks_per_second: float, *, watched: int) -> float:
    """Real seconds between steps. An instrument ticks once a step at most, so high rates need shorter steps.

    A fifth shorter than just enough, because a late step is not made up for.
    """
    if ticks_per_second <= _STEPS_SUFFICE:
        return STEP_S
    return min(STEP_S, max(SHORTEST_STEP_S, 0.8 * watched / ticks_per_second))


async def run_market(market: Market, *, clock: SimClock) -> None:
    """Step the market with the clock for ever; the server runs it as one task."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        market.step(clock.now())
        due += step_period(market.ticks_per_second, watched=market.watched_count)
        due = max(due, loop.time() + SHORTEST_PAUSE_S)
        await asyncio.sleep(due - loop.time())
