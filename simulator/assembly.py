"""Builds one simulator from its settings: all parts connected, nothing listening yet."""

import asyncio
import time
from dataclasses import dataclass

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp

from simulator.application import create_application, wrap
from simulator.clock import SimClock
from simulator.exchange.accounts.users import Accounts, Authenticate
from simulator.exchange.exchange import Exchange
from simulator.faults.middleware import FaultMiddleware
from simulator.faults.registry import FaultRegistry
from simulator.market.market import Market
from simulator.order_updates import Postbacks, Updates
from simulator.rate_limits import Traffic
from simulator.replay import Player, check_recording
from simulator.rest.alerts import AlertRoutes
from simulator.rest.auth import Guard
from simulator.rest.authorisations import AuthorisationRoutes
from simulator.rest.gtt import TriggerRoutes
from simulator.rest.historical import HistoricalRoutes
from simulator.rest.instruments import InstrumentRoutes
from simulator.rest.margins import MarginRoutes
from simulator.rest.mutual_funds import FundRoutes
from simulator.rest.orders import OrderRoutes
from simulator.rest.outermost import OutermostMiddleware
from simulator.rest.portfolio import PortfolioRoutes
from simulator.rest.quotes import QuoteRoutes
from simulator.rest.replay_header import SourceMiddleware
from simulator.rest.sim_parts import SimParts
from simulator.rest.sim_routes import sim_routes
from simulator.rest.user import UserRoutes
from simulator.settings import SimulatorSettings
from simulator.state.journal import Journal
from simulator.state.persistence import persist_exchange
from simulator.stream.sockets import TickerSockets


@dataclass(frozen=True, slots=True)
class Simulator:
    """The parts of one simulator."""

    settings: SimulatorSettings
    """From which it was built."""
    clock: SimClock
    """The simulated time."""
    market: Market
    """Instruments and quotes."""
    accounts: Accounts
    """API keys and sessions."""
    exchange: Exchange
    """Orders and portfolios."""
    faults: FaultRegistry
    """The faults that are set."""
    traffic: Traffic
    """Counts requests and enforces their limits."""
    sockets: TickerSockets
    """The open ticker WebSockets."""
    postbacks: Postbacks
    """The queue of order updates to postback URLs."""
    journal: Journal | None
    """Where the exchange is saved; None: nowhere."""
    player: Player | None
    """Plays a recording; None: the market simulates prices."""
    fault_middleware: FaultMiddleware
    """Carries out faults of the connection; its delayed requests are cancelled at the end."""
    app: ASGIApp
    """The routes with all middleware around them."""


def build_simulator(settings: SimulatorSettings) -> Simulator:
    """Must be called inside the event loop that serves it. Raises BadRecordingError and JournalError."""
    clock = SimClock(settings.start_time, speed=settings.clock_speed)
    market = open_market(settings, clock)
    accounts = open_accounts(settings, clock)
    faults = FaultRegistry(seed=settings.seed)
    postbacks = Postbacks()
    authenticate = authenticator(accounts, clock)
    sockets = open_sockets(settings, market=market, authenticate=authenticate, faults=faults)
    player = open_player(settings, sockets)
    exchange = open_exchange(
        settings,
        market=market,
        accounts=accounts,
        clock=clock,
        faults=faults,
        postbacks=postbacks,
        sockets=sockets,
    )
    journal = open_journal(settings, exchange=exchange, accounts=accounts, clock=clock)
    traffic = Traffic(settings.rate_limits)
    exchange.charge = lambda user_id: traffic.charge(user_id, 1, now=time.time()) == "allowed"
    guard = Guard(authenticate)
    routes = [
        *broker_routes(
            settings, exchange=exchange, accounts=accounts, market=market, clock=clock, traffic=traffic, guard=guard
        ),
        *sim_routes(
            SimParts(
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
        ),
        WebSocketRoute("/", sockets.endpoint),
    ]
    faulty, app = wrap(create_application(routes), exchange=exchange, accounts=accounts, traffic=traffic, faults=faults)
    return Simulator(
        settings=settings,
        clock=clock,
        market=market,
        accounts=accounts,
        exchange=exchange,
        faults=faults,
        traffic=traffic,
        sockets=sockets,
        postbacks=postbacks,
        player=player,
        journal=journal,
        fault_middleware=faulty,
        app=OutermostMiddleware(SourceMiddleware(app) if settings.replay else app, now=clock.now),
    )


def open_market(settings: SimulatorSettings, clock: SimClock) -> Market:
    """The market; with a recording it makes no prices of its own."""
    rate = 0 if settings.replay else settings.ticks_per_second
    return Market(
        seed=settings.seed,
        now=clock.now(),
        sessions=settings.sessions,
        ticks_per_second=rate,
        universe=settings.universe,
    )


def open_accounts(settings: SimulatorSettings, clock: SimClock) -> Accounts:
    """The accounts. Access tokens end at six in the morning only with sessions `calendar`."""
    accounts = Accounts(
        settings.accounts,
        seed=settings.seed,
        started_at=clock.now(),
        session_end="at_six" if settings.sessions == "calendar" else "never",
    )
    next(iter(accounts)).postback_url = settings.postback_url
    return accounts


def open_exchange(
    settings: SimulatorSettings,
    *,
    market: Market,
    accounts: Accounts,
    clock: SimClock,
    faults: FaultRegistry,
    postbacks: Postbacks,
    sockets: TickerSockets,
) -> Exchange:
    """The exchange, which begins a new day when the market does."""
    call_later = asyncio.get_running_loop().call_later
    updates = Updates(
        accounts=accounts,
        faults=faults,
        postbacks=postbacks,
        push_to_sockets=sockets.push_order,
        now=clock.now,
        call_later=call_later,
    )
    exchange = Exchange(
        market=market,
        accounts=accounts,
        now=clock.now,
        seed=settings.seed,
        opening_cash=settings.opening_cash,
        notify=updates.notify,
        call_later=call_later,
    )
    market.on_day_end(exchange.days.end_day)
    market.on_new_day(exchange.days.new_day)
    return exchange


def open_sockets(
    settings: SimulatorSettings, *, market: Market, authenticate: Authenticate, faults: FaultRegistry
) -> TickerSockets:
    """The ticker sockets, which send simulated prices or those of a recording."""
    return TickerSockets(
        market,
        authenticate=authenticate,
        faults=faults,
        heartbeat_s=settings.heartbeat_s,
        prices="replayed" if settings.replay else "made",
    )


def open_player(settings: SimulatorSettings, sockets: TickerSockets) -> Player | None:
    """The player of the recording, if there is one. It starts with the first subscription. Raises BadRecordingError."""
    if settings.replay is None:
        return None
    check_recording(settings.replay.file)
    player = Player(settings.replay, show=sockets.play)
    sockets.on_subscribed = player.start
    return player


def open_journal(
    settings: SimulatorSettings, *, exchange: Exchange, accounts: Accounts, clock: SimClock
) -> Journal | None:
    """The journal of `state_dir`, with the exchange restored from it; None without one. Raises JournalError."""
    if settings.state_dir is None:
        return None
    return persist_exchange(settings.state_dir, exchange=exchange, accounts=accounts, seed=settings.seed, now=clock.now)


def authenticator(accounts: Accounts, clock: SimClock) -> Authenticate:
    """Checks API key and access token at the present time."""

    def authenticate(api_key: str, access_token: str) -> str | None:
        return accounts.authenticate(api_key, access_token, now=clock.now())

    return authenticate


def broker_routes(
    settings: SimulatorSettings,
    *,
    exchange: Exchange,
    accounts: Accounts,
    market: Market,
    clock: SimClock,
    traffic: Traffic,
    guard: Guard,
) -> list[BaseRoute]:
    """Kite's own routes."""
    now = clock.now
    user = UserRoutes(accounts=accounts, exchange=exchange, guard=guard, now=now, redirect_url=settings.redirect_url)
    return [
        *user.routes(),
        *OrderRoutes(
            exchange=exchange,
            guard=guard,
            traffic=traffic,
            now=now,
            wall=time.time,
            autoslice_answer=settings.autoslice_answer,
        ).routes(),
        *PortfolioRoutes(exchange=exchange, market=market, guard=guard, now=now).routes(),
        *AuthorisationRoutes(exchange=exchange, guard=guard, now=now, user_of_key=accounts.user_of_key).routes(),
        *MarginRoutes(exchange=exchange, guard=guard).routes(),
        *TriggerRoutes(triggers=exchange.triggers, guard=guard).routes(),
        *AlertRoutes(alerts=exchange.alerts, guard=guard, now=now).routes(),
        *FundRoutes(guard=guard, now=now).routes(),
        *QuoteRoutes(market, guard=guard).routes(),
        *HistoricalRoutes(market, guard=guard, now=now).routes(),
        *InstrumentRoutes(market).routes(),
    ]
