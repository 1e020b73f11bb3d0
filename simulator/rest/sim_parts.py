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
    """Parts of an `assembly.Simulator`."""

    exchange: Exchange
    """Orders, ledger, portfolios."""
    accounts: Accounts
    """Sessions and postback URLs."""
    market: Market
    """Prices and liquidity."""
    clock: SimClock
    """The simulated time and its speed."""
    faults: FaultRegistry
    """The faults that are set."""
    traffic: Traffic
    """Counts of requests."""
    sockets: TickerSockets
    """The open ticker sockets."""
    postbacks: Postbacks
    """Counts of postbacks."""
    player: Player | None
    """None where the market simulates prices."""
