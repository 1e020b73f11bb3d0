"""The loop that steps the market with the clock. The market's listeners are the sockets and the exchange."""

import asyncio

from simulator.clock import SimClock
from simulator.market.market import Market

STEP_S = 0.05
SHORTEST_STEP_S = 0.005
SHORTEST_PAUSE_S = 0.001  # however late the steps are, requests and sockets get to run
_ORDINARY_STEP_UP_TO = 5_000  # ticks per second


def step_period(ticks_per_second: float, *, subscribed: int) -> float:
    """The real seconds between two steps for a rate over `subscribed` instruments.

    An instrument ticks at most once in a step, so high rates need shorter steps. They are a fifth shorter than needed,
    because the ticks of a late step are not made up for.
    """
    if ticks_per_second <= _ORDINARY_STEP_UP_TO:
        return STEP_S
    return min(STEP_S, max(SHORTEST_STEP_S, 0.8 * subscribed / ticks_per_second))


async def run_market(market: Market, *, clock: SimClock) -> None:
    """Steps the market until cancelled."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        market.step(clock.now())
        due += step_period(market.ticks_per_second, subscribed=market.subscribed_count)
        due = max(due, loop.time() + SHORTEST_PAUSE_S)
        await asyncio.sleep(due - loop.time())
