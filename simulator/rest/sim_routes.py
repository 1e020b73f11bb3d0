"""Everything under `/_sim` together: what is controlled and what is looked at."""

from starlette.routing import Route

from simulator.clock import SimClock
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.faults.registry import FaultRegistry
from simulator.market.market import Market
from simulator.order_updates import Postbacks
from simulator.rate_limits import Traffic
from simulator.replay import Player
from simulator.rest.control import ControlRoutes
from simulator.rest.overview import OverviewRoutes
from simulator.stream.sockets import TickerSockets


def sim_routes(
    *,
    exchange: Exchange,
    accounts: Accounts,
    market: Market,
    clock: SimClock,
    faults: FaultRegistry,
    traffic: Traffic,
    sockets: TickerSockets,
    postbacks: Postbacks,
    player: Player | None,
) -> list[Route]:
    control = ControlRoutes(
        exchange=exchange,
        accounts=accounts,
        market=market,
        clock=clock,
        faults=faults,
        traffic=traffic,
        sockets=sockets,
        postbacks=postbacks,
        player=player,
    )
    overview = OverviewRoutes(
        exchange=exchange, market=market, faults=faults, sockets=sockets, player=player, now=clock.now
    )
    return [*control.routes(), *overview.routes()]
