"""The composition root: one simulator from its settings, all parts wired, nothing listening yet."""

import asyncio
import time
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp

from simulator.clock import SimClock
from simulator.errors import KiteError, method_not_allowed, route_not_found
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.faults.middleware import FaultMiddleware
from simulator.faults.registry import FaultRegistry
from simulator.market.market import Market
from simulator.order_updates import Postbacks, Updates
from simulator.rate_limits import Traffic
from simulator.replay import Player, check_recording
from simulator.rest.alerts import AlertRoutes
from simulator.rest.auth import Authenticate, Guard
from simulator.rest.envelope import failure
from simulator.rest.gtt import TriggerRoutes
from simulator.rest.historical import HistoricalRoutes
from simulator.rest.instruments import InstrumentRoutes
from simulator.rest.margins import MarginRoutes
from simulator.rest.mutual_funds import FundRoutes
from simulator.rest.orders import OrderRoutes
from simulator.rest.portfolio import PortfolioRoutes
from simulator.rest.quotes import QuoteRoutes
from simulator.rest.replay_header import SourceMiddleware
from simulator.rest.request_limits import ArrivalMiddleware, Caller, LimitMiddleware
from simulator.rest.sim_routes import sim_routes
from simulator.rest.user import UserRoutes
from simulator.settings import SimulatorSettings
from simulator.state.journal import Journal
from simulator.state.persistence import keep_state
from simulator.stream.sockets import TickerSockets

GZIP_FROM_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Simulator:
    """The parts of one simulator. `app` is the ASGI application with its middleware around it."""

    settings: SimulatorSettings
    clock: SimClock
    market: Market
    accounts: Accounts
    exchange: Exchange
    faults: FaultRegistry
    traffic: Traffic
    sockets: TickerSockets
    postbacks: Postbacks
    journal: Journal | None
    """Where the exchange is kept; None where it lives in memory alone."""
    player: Player | None
    """Plays the recording; None where the market makes its own prices."""
    fault_middleware: FaultMiddleware
    app: ASGIApp


def build_simulator(settings: SimulatorSettings) -> Simulator:
    """Call it inside the event loop that will serve it. Raises BadRecordingError."""
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
            exchange=exchange,
            accounts=accounts,
            market=market,
            clock=clock,
            faults=faults,
            traffic=traffic,
            sockets=sockets,
            postbacks=postbacks,
            player=player,
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
        app=SourceMiddleware(app) if settings.replay else app,
    )


def open_market(settings: SimulatorSettings, clock: SimClock) -> Market:
    """Its prices stand still where a recording has them."""
    rate = 0 if settings.replay else settings.ticks_per_second
    return Market(seed=settings.seed, now=clock.now(), sessions=settings.sessions, ticks_per_second=rate)


def open_accounts(settings: SimulatorSettings, clock: SimClock) -> Accounts:
    """Sessions end at six in the morning only where the calendar counts: a simulator that is always open stays so."""
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
    """The exchange, which starts a new day when the market does."""
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
    return TickerSockets(
        market,
        authenticate=authenticate,
        faults=faults,
        heartbeat_s=settings.heartbeat_s,
        prices="replayed" if settings.replay else "made",
    )


def open_player(settings: SimulatorSettings, sockets: TickerSockets) -> Player | None:
    """Raises BadRecordingError."""
    if settings.replay is None:
        return None
    check_recording(settings.replay.file)
    player = Player(settings.replay, show=sockets.play)
    sockets.on_wish = player.start
    return player


def open_journal(
    settings: SimulatorSettings, *, exchange: Exchange, accounts: Accounts, clock: SimClock
) -> Journal | None:
    """Raises JournalError."""
    if settings.state_dir is None:
        return None
    return keep_state(settings.state_dir, exchange=exchange, accounts=accounts, seed=settings.seed, now=clock.now)


def authenticator(accounts: Accounts, clock: SimClock) -> Authenticate:
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
        *MarginRoutes(exchange=exchange, guard=guard).routes(),
        *TriggerRoutes(desk=exchange.triggers, guard=guard).routes(),
        *AlertRoutes(desk=exchange.alerts, guard=guard, now=now).routes(),
        *FundRoutes(guard=guard, now=now).routes(),
        *QuoteRoutes(market, guard=guard).routes(),
        *HistoricalRoutes(market, guard=guard, now=now).routes(),
        *InstrumentRoutes(market).routes(),
    ]


def create_application(routes: list[BaseRoute]) -> ASGIApp:
    """The routes with gzip, and every error in Kite's envelope."""
    application = Starlette(
        routes=routes,
        exception_handlers={
            KiteError: answer_kite_error,
            HTTPException: answer_http_error,
            ClientDisconnect: answer_nobody,
        },
    )
    application.router.redirect_slashes = False
    return GZipMiddleware(application, minimum_size=GZIP_FROM_BYTES, compresslevel=1)


def wrap(
    app: ASGIApp, *, exchange: Exchange, accounts: Accounts, traffic: Traffic, faults: FaultRegistry
) -> tuple[FaultMiddleware, ASGIApp]:
    """Arrivals counted outside, then faults, then limits, then the application."""

    def tag_of_order(order_id: str) -> str | None:
        order = exchange.book.find(order_id)
        return order.request.tag if order else None

    caller = Caller(accounts.user_of_key)
    limited = LimitMiddleware(app, traffic=traffic, caller=caller, wall=time.time)
    faulty = FaultMiddleware(limited, registry=faults, user_of=caller.user, tag_of_order=tag_of_order)
    return faulty, ArrivalMiddleware(faulty, traffic=traffic, caller=caller, wall=time.time)


async def answer_kite_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, KiteError):
        raise error
    return failure(error)


async def answer_http_error(_request: Request, error: Exception) -> Response:
    """Starlette's 404 and 405 in Kite's words."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return failure(route_not_found())
    if status == 405:
        return failure(method_not_allowed())
    return failure(KiteError("Something unexpected happened.", status=status, error_type="GeneralException"))


async def answer_nobody(_request: Request, _error: Exception) -> Response:
    """The client left in the middle of its own request; the answer goes nowhere."""
    return failure(KiteError("Client closed the request.", status=400, error_type="NetworkException"))
