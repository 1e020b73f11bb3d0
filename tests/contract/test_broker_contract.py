"""The gateways and the feed against the simulator: two independent readings of Kite's documents meet here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from app.broker.market import Mode
from app.broker.orders import BrokerOrder, Exchange, OrderChanges, OrderRequest, OrderType, Product, TransactionType
from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled
from app.broker.port import Credentials
from app.broker.ticks import Tick
from app.errors import BrokerRefused, BrokerUnavailable, SessionExpired
from app.kit.clock import SystemClock
from app.kite.broker import KiteAccount, open_broker
from app.kite.feed import FeedSettings
from app.kite.http import HttpSettings
from simulator.server import RunningSimulator, running_simulator
from simulator.settings import SimulatorSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

INFY = "NSE:INFY"
INFY_TOKEN = 408065


@dataclass(slots=True)
class Environment:
    """One account at a running simulator, with the simulator's own controls beside it."""

    simulator: RunningSimulator
    account: KiteAccount
    control: httpx.AsyncClient
    token: list[str] = field(default_factory=list)

    async def fault(self, kind: str, *, path: str = "/orders/*", method: str = "POST", **params: Any) -> None:
        spec = {"kind": kind, "method": method, "path": path, "times": 1, "params": params}
        (await self.control.post("/_sim/faults", json=spec)).raise_for_status()

    async def price(self, last_price: float) -> None:
        body = {"instruments": {INFY: {"last_price": last_price, "frozen": True}}}
        (await self.control.post("/_sim/market", json=body)).raise_for_status()

    async def placed_with(self, tag: str) -> list[BrokerOrder]:
        return [order for order in await self.account.broker.orders.order_book() if tag in {order.tag, *order.tags}]

    async def settled(self, tag: str, *, status: str, price: str | None = None) -> BrokerOrder:
        """The one order of ``tag`` once the book shows it so; the governor paces the looking."""
        for _ in range(20):
            found = await self.placed_with(tag)
            at_price = price is None or [order.price for order in found] == [Decimal(price)]
            if at_price and [order.status for order in found] == [status]:
                return found[0]
        raise AssertionError(f"no {status} order under {tag}")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def simulator() -> AsyncIterator[RunningSimulator]:
    """One simulator for all: building its universe takes half a second."""
    async with running_simulator(SimulatorSettings(port=0, ticks_per_second=0, heartbeat_s=0.1)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def environment(simulator: RunningSimulator) -> AsyncIterator[Environment]:
    token = ["simtoken"]

    def credentials() -> Credentials:
        return Credentials(api_key="simkey", api_secret=SecretStr("simsecret"), access_token=SecretStr(token[-1]))

    async with (
        httpx.AsyncClient(base_url=simulator.url, trust_env=False) as control,
        open_broker(
            "SIM001",
            http=HttpSettings(base_url=simulator.url, order_total_s=1.5),
            feed=FeedSettings(ws_url=simulator.ws_url, watchdog_s=20.0),
            credentials=credentials,
            clock=SystemClock(),
        ) as account,
    ):
        (await control.post("/_sim/reset")).raise_for_status()
        environment = Environment(simulator, account, control, token)
        await environment.price(1500)
        yield environment


def limit(price: str | None, *, quantity: int = 10, **changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "exchange": Exchange.NSE,
        "tradingsymbol": "INFY",
        "transaction_type": TransactionType.BUY,
        "quantity": quantity,
        "product": Product.MIS,
        "order_type": OrderType.LIMIT,
        "price": None if price is None else Decimal(price),
        **changes,
    }
    return OrderRequest(**fields)


def accepted(outcome: SendOutcome) -> str:
    assert isinstance(outcome, Accepted), outcome
    return outcome.order_id


async def eventually(condition: Callable[[], Any], *, timeout: float = 20.0) -> None:
    """Look until it is so: the other side is a server of its own, there is nothing to await."""
    for _ in range(int(timeout / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not become so")


class TestOrders:
    async def test_a_placed_order_is_in_the_book_under_its_tag(self, environment: Environment) -> None:
        """Accepted id, tag, fields and aware times; its history and its fills follow."""
        orders = environment.account.broker.orders
        order_id = accepted(await orders.place(limit("1500.00"), tag="TAGCOMPLETE"))
        row = await environment.settled("TAGCOMPLETE", status="COMPLETE")
        assert (row.order_id, row.exchange, row.tradingsymbol, row.quantity) == (order_id, "NSE", "INFY", 10)
        assert row.filled_quantity == 10
        assert row.order_timestamp is not None
        assert abs(row.order_timestamp - SystemClock().now()) < timedelta(minutes=1)
        history = await orders.order_history(order_id)
        assert [history[0].status, history[-1].status] == ["PUT ORDER REQ RECEIVED", "COMPLETE"]
        trades = [trade for trade in await orders.trades() if trade.order_id == order_id]
        assert sum(trade.quantity for trade in trades) == 10

    async def test_modify_and_cancel_a_resting_order(self, environment: Environment) -> None:
        """Both are accepted, and the book shows their effect; a second cancel is a refusal of the special kind."""
        orders = environment.account.broker.orders
        order_id = accepted(await orders.place(limit("1480.00"), tag="TAGREST"))
        await environment.settled("TAGREST", status="OPEN")
        accepted(await orders.modify(order_id, variety="regular", changes=OrderChanges(price=Decimal("1481.50"))))
        await environment.settled("TAGREST", status="OPEN", price="1481.5")
        accepted(await orders.cancel(order_id, variety="regular"))
        row = await environment.settled("TAGREST", status="CANCELLED")
        assert (row.filled_quantity, row.is_terminal) == (0, True)
        again = await orders.cancel(order_id, variety="regular")
        assert isinstance(again, Refused)
        assert again.being_processed

    async def test_a_refusal_has_the_brokers_text(self, environment: Environment) -> None:
        """An unprotected market order is refused and is not in the book."""
        order = limit(None, order_type=OrderType.MARKET)
        outcome = await environment.account.broker.orders.place(order, tag="TAGREFUSED")
        assert isinstance(outcome, Refused)
        assert "market protection" in outcome.message
        assert await environment.placed_with("TAGREFUSED") == []

    @pytest.mark.parametrize(
        ("kind", "params", "expected", "in_book"),
        [
            ("drop_before_read", {}, InDoubt, 0),
            ("drop_after_accept", {}, InDoubt, 1),
            ("reset", {}, InDoubt, None),
            ("hang", {"ms": 60_000}, InDoubt, 1),
            ("half_headers", {}, InDoubt, 1),
            ("half_body", {}, InDoubt, 1),
            ("html_200", {}, InDoubt, 0),
            ("status", {"code": 502, "error_type": "NetworkException", "message": "Request failed."}, InDoubt, 0),
            ("status", {"code": 429, "error_type": "NetworkException", "message": "Too many requests"}, Throttled, 0),
            ("timeout_400_then_placed", {"after_ms": 300}, InDoubt, 1),
        ],
    )
    async def test_faults_never_lie(
        self,
        environment: Environment,
        kind: str,
        params: Mapping[str, Any],
        expected: type[SendOutcome],
        in_book: int | None,
    ) -> None:
        """The outcome never denies an order that the book shows, and the order is there at most once."""
        await environment.fault(kind, **params)
        outcome = await environment.account.broker.orders.place(limit("1480.00"), tag="TAGFAULT")
        assert type(outcome) is expected
        await asyncio.sleep(0.5)
        found = len(await environment.placed_with("TAGFAULT"))
        assert found == in_book if in_book is not None else found <= 1

    async def test_a_dead_token_is_distinguished(self, environment: Environment) -> None:
        """Orders ask for a login, reads raise, and the next token is used at once."""
        environment.token.append("dead")
        assert isinstance(
            await environment.account.broker.orders.place(limit("1480.00"), tag="TAGDEAD"), SessionRejected
        )
        with pytest.raises(SessionExpired):
            await environment.account.broker.orders.order_book()
        environment.token.append("simtoken")
        assert await environment.placed_with("TAGDEAD") == []

    async def test_margins_are_numbers(self, environment: Environment) -> None:
        """The basket's need and what the account has."""
        orders = environment.account.broker.orders
        need = await orders.basket_margin([limit("1500.00"), limit("1500.00", quantity=5)])
        assert 0 < need < await orders.available_margin("NSE")
        assert await orders.available_margin("MCX") > 0


class TestReads:
    async def test_the_whole_universe_is_read(self, environment: Environment) -> None:
        """3,000 instruments and more; every token says its segment."""
        market = environment.account.broker.market
        instruments = (await market.instruments()).good
        assert len(instruments) >= 3000
        assert all(i.instrument_token >> 8 == i.exchange_token for i in instruments)
        infy = next(i for i in instruments if i.key == INFY)
        assert infy.instrument_token == INFY_TOKEN
        assert {i.exchange for i in await market.instruments("MCX")} == {"MCX"}

    async def test_quotes_leave_out_what_the_broker_does_not_know(self, environment: Environment) -> None:
        """No error for an unknown key: it is simply absent."""
        quotes = await environment.account.broker.market.quotes([INFY, "NSE:NOSUCHSYMBOL"])
        assert list(quotes) == [INFY]
        assert (quotes[INFY].instrument_token, quotes[INFY].last_price) == (INFY_TOKEN, Decimal(1500))

    async def test_candles_lie_in_the_range(self, environment: Environment) -> None:
        """Minute bars with aware times; a range that is too long is the broker's refusal."""
        market = environment.account.broker.market
        end = SystemClock().now().replace(second=0, microsecond=0)
        ask = {"interval": "minute", "end": end, "continuous": False, "oi": True}
        answer = await market.candles(INFY_TOKEN, start=end - timedelta(days=4), **ask)  # type: ignore[arg-type]
        candles = answer.good
        assert candles
        assert all(end - timedelta(days=4) <= candle.time <= end for candle in candles)
        assert all(c.low <= min(c.open, c.close) <= max(c.open, c.close) <= c.high for c in candles)
        with pytest.raises(BrokerRefused, match="exceeds max limit"):
            await market.candles(INFY_TOKEN, start=end - timedelta(days=90), **ask)  # type: ignore[arg-type]

    async def test_portfolio_is_kites_own(self, environment: Environment) -> None:
        """Profile, holdings, positions and funds as objects."""
        portfolio = environment.account.broker.portfolio
        assert (await portfolio.profile())["user_id"] == "SIM001"
        assert isinstance(await portfolio.holdings(), list)
        assert set(await portfolio.positions()) >= {"net", "day"}
        assert set(await portfolio.margins()) >= {"equity", "commodity"}

    async def test_an_unreadable_book_is_never_a_book(self, environment: Environment) -> None:
        """Half a body raises; it does not come back as fewer orders."""
        await environment.fault("half_body", path="/orders", method="GET")
        with pytest.raises(BrokerUnavailable):
            await environment.account.broker.orders.order_book()
        assert (await environment.account.broker.orders.order_book()).good == []


class TestSession:
    async def test_login_and_log_out(self, environment: Environment) -> None:
        """The minted token works until it is logged out."""
        session = environment.account.broker.session
        login = await session.exchange_request_token("simreqtoken")
        assert login.user_id == "SIM001"
        environment.token.append(login.access_token.get_secret_value())
        await environment.account.broker.portfolio.profile()
        await session.log_out()
        with pytest.raises(SessionExpired):
            await environment.account.broker.portfolio.profile()

    async def test_a_bad_request_token_is_refused(self, environment: Environment) -> None:
        """Kite's TokenException."""
        with pytest.raises(SessionExpired):
            await environment.account.broker.session.exchange_request_token("nonsense")

    async def test_an_order_to_a_closed_port_is_not_sent(self, environment: Environment) -> None:
        """With the broker gone no byte leaves."""
        closed = HttpSettings(base_url="http://127.0.0.1:1")
        async with open_broker(
            "SIM001",
            http=closed,
            feed=environment.account.feed_settings,
            credentials=environment.account.credentials,
            clock=SystemClock(),
        ) as account:
            assert isinstance(await account.broker.orders.place(limit("1480.00"), tag="TAGGONE"), NotSent)


class Listener:
    def __init__(self, account: KiteAccount) -> None:
        self._decode = account.broker.decode
        self.ticks: list[Tick] = []
        self.orders: list[Mapping[str, Any]] = []
        self.connects = 0
        self.disconnects: list[str] = []

    def on_packets(self, packets: Sequence[bytes], *, received_at_ms: int) -> None:
        decoded = [self._decode(packet) for packet in packets]
        assert all(tick is not None for tick in decoded)
        self.ticks.extend(tick for tick in decoded if tick is not None)

    def on_order_update(self, payload: Mapping[str, Any]) -> None:
        self.orders.append(payload)

    def on_connected(self, *, first: bool) -> None:
        self.connects += 1

    def on_replay(self) -> None:
        raise AssertionError("no simulator replays here")

    def on_disconnected(self, reason: str) -> None:
        self.disconnects.append(reason)


@asynccontextmanager
async def streaming(environment: Environment, modes: Mapping[int, Mode]) -> AsyncIterator[Listener]:
    listener = Listener(environment.account)
    feed = environment.account.make_feed(listener)
    feed.subscribe(modes)
    task = asyncio.ensure_future(feed.run())
    try:
        await eventually(lambda: listener.connects == 1)
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class TestFeed:
    async def test_all_five_packet_lengths_decode(self, environment: Environment) -> None:
        """A share and an index in each mode: what the simulator writes is what we read."""
        nifty, bank, banks = 256265, 260105, 341249
        modes = {INFY_TOKEN: Mode.FULL, banks: Mode.QUOTE, 738561: Mode.LTP, nifty: Mode.FULL, bank: Mode.QUOTE}
        async with streaming(environment, modes) as listener:
            await eventually(lambda: {t.instrument_token for t in listener.ticks} == set(modes))
            last = {tick.instrument_token: tick for tick in listener.ticks}
        assert {token: tick.mode for token, tick in last.items()} == {token: m.value for token, m in modes.items()}
        assert last[INFY_TOKEN].last_price == 1500.0
        assert (last[INFY_TOKEN].tradable, last[nifty].tradable) == (True, False)

    async def test_order_updates_arrive(self, environment: Environment) -> None:
        """The push carries our tag: it is the hint to read the book."""
        async with streaming(environment, {}) as listener:
            order_id = accepted(await environment.account.broker.orders.place(limit("1500.00"), tag="TAGPUSH"))
            await eventually(lambda: any(push["status"] == "COMPLETE" for push in listener.orders))
        assert {(push["order_id"], push["tag"]) for push in listener.orders} == {(order_id, "TAGPUSH")}

    async def test_a_closed_socket_comes_back_with_its_ticks(self, environment: Environment) -> None:
        """Reconnect, resubscribe, snapshot."""
        async with streaming(environment, {INFY_TOKEN: Mode.LTP}) as listener:
            await eventually(lambda: len(listener.ticks) == 1)
            (await environment.control.post("/_sim/faults", json={"kind": "ws_close", "times": 1})).raise_for_status()
            await eventually(lambda: len(listener.ticks) == 2)
        assert listener.connects == 2
        assert listener.disconnects[0] == "closed by the broker with 1011"
