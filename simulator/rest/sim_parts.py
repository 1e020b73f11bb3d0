"""The parts of a simulator that the routes under `/_sim` read and control."""

from dataclasses import dataclass

from simulator.clock import SimClock
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.faults.registry import FaultRegistry
from simulator.market.market import Market
from simulator.order_updates import Postbacks
from simulator.rate_limits import Traffic
from simulator.replay import Player
from simulator.stream.sockets import TickerSockets


@dataclass(frozen=True, slots=True)
class SimParts:
    """`player` is None where the market simulates prices. The other parts are described in `assembly.Simulator`."""

    exchange: Exchange
    accounts: Accounts
    market: Market
    clock: SimClock
    faults: FaultRegistry
    traffic: Traffic
    sockets: TickerSockets
    postbacks: Postbacks
    player: Player | None
