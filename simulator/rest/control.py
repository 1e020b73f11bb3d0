"""The control routes under `/_sim`: what a test or a user of the simulator may read and do beside Kite's API.

They need no key: the simulator listens on localhost and has no secrets. Bad input gets a 400 that names it.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.envelope import json_response, query_params
from simulator.errors import KiteError, input_error, missing_field
from simulator.exchange.accounts.users import Account
from simulator.exchange.orders.ledger import ledger_row
from simulator.exchange.orders.rows import order_row
from simulator.faults.kinds import BadFaultError
from simulator.faults.registry import fault_row
from simulator.market.instrument import Instrument
from simulator.rest.control_input import (
    parse_circuits,
    parse_instrument,
    parse_moment,
    parse_since,
    read_float,
    read_mapping,
    read_object,
    read_whole,
    refuse_unknown,
)
from simulator.rest.sim_parts import SimParts


class ControlRoutes:
    """Routes over all parts of a simulator. Answers are JSON without Kite's envelope."""

    def __init__(self, parts: SimParts) -> None:
        self._exchange = parts.exchange
        self._accounts = parts.accounts
        self._market = parts.market
        self._clock = parts.clock
        self._faults = parts.faults
        self._traffic = parts.traffic
        self._sockets = parts.sockets
        self._postbacks = parts.postbacks
        self._player = parts.player

    def routes(self) -> list[Route]:
        return [
            Route("/_sim/ledger", self.ledger, methods=["GET"]),
            Route("/_sim/faults", self.list_faults, methods=["GET"]),
            Route("/_sim/faults", self.add_fault, methods=["POST"]),
            Route("/_sim/faults", self.clear_faults, methods=["DELETE"]),
            Route("/_sim/faults/{fault_id}", self.remove_fault, methods=["DELETE"]),
            Route("/_sim/market", self.set_market, methods=["POST"]),
            Route("/_sim/clock", self.read_clock, methods=["GET"]),
            Route("/_sim/clock", self.set_clock, methods=["POST"]),
            Route("/_sim/session", self.read_sessions, methods=["GET"]),
            Route("/_sim/session", self.set_session, methods=["POST"]),
            Route("/_sim/orders/{order_id}", self.read_order, methods=["GET"]),
            Route("/_sim/orders/{order_id}", self.act_on_order, methods=["POST"]),
            Route("/_sim/texts", self.send_text, methods=["POST"]),
            Route("/_sim/stats", self.stats, methods=["GET"]),
            Route("/_sim/reset", self.reset, methods=["POST"]),
        ]

    async def ledger(self, request: Request) -> Response:
        """`since` is a sequence number (entries after it) or a time (entries accepted since)."""
        params = query_params(request)
        after_seq, since = parse_since(params.get("since"))
        entries = self._exchange.ledger.entries(user_id=params.get("user_id"), after_seq=after_seq, since=since)
        return json_response([ledger_row(entry) for entry in entries])

    async def list_faults(self, _request: Request) -> Response:
        return json_response([fault_row(fault) for fault in self._faults.active()])

    async def add_fault(self, request: Request) -> Response:
        try:
            fault = self._faults.add(await read_object(request))
        except BadFaultError as error:
            raise input_error(str(error)) from error
        return json_response({"fault_id": fault.fault_id})

    async def clear_faults(self, _request: Request) -> Response:
        cleared = len(self._faults.active())
        self._faults.clear()
        return json_response({"cleared": cleared})

    async def remove_fault(self, request: Request) -> Response:
        fault_id = request.path_params["fault_id"]
        if not self._faults.remove(fault_id):
            raise KiteError(f"no fault {fault_id}", status=404, error_type="GeneralException")
        return json_response({"cleared": 1})

    async def set_market(self, request: Request) -> Response:
        """Sets prices, circuits, liquidity and rate. Everything is checked before anything is changed."""
        body = await read_object(request)
        refuse_unknown(body, {"ticks_per_second", "instruments"})
        wanted = [(self._instrument(name), spec) for name, spec in read_mapping(body, "instruments").items()]
        settings = [(instrument, parse_instrument(instrument, spec)) for instrument, spec in wanted]
        circuits = [(instrument, parse_circuits(instrument, spec)) for instrument, spec in wanted]
        if "ticks_per_second" in body and self._player is not None:
            raise input_error("`ticks_per_second` has no effect: the prices come from a recording")
        if "ticks_per_second" in body:
            self._market.ticks_per_second = read_float(body, "ticks_per_second")
        for instrument, (last_price, frozen, liquidity) in settings:
            self._exchange.engine.renew_liquidity(instrument.instrument_token)
            self._market.set_price(instrument.instrument_token, last_price, frozen=frozen, liquidity=liquidity)
        for instrument, (lower, upper) in circuits:
            self._market.set_circuits(instrument.instrument_token, lower=lower, upper=upper)
        return json_response(
            {
                "ticks_per_second": self._market.ticks_per_second,
                "instruments": {
                    f"{instrument.exchange}:{instrument.tradingsymbol}": {
                        "last_price": self._market.last_price(instrument.instrument_token)
                    }
                    for instrument, _ in settings
                },
            }
        )

    async def read_clock(self, _request: Request) -> Response:
        return self._clock_response()

    async def set_clock(self, request: Request) -> Response:
        """Sets time and speed. Market and order book have reached the new time when it answers."""
        body = await read_object(request)
        refuse_unknown(body, {"now", "speed"})
        now = parse_moment("now", body["now"]) if body.get("now") is not None else None
        speed = read_float(body, "speed") if body.get("speed") is not None else None
        try:
            self._clock.set(now, speed=speed)
        except ValueError as error:
            raise input_error(str(error)) from error
        self._market.step(self._clock.now())
        self._exchange.pass_time()
        return self._clock_response()

    async def read_sessions(self, _request: Request) -> Response:
        return json_response([session_row(account) for account in self._accounts])

    async def set_session(self, request: Request) -> Response:
        """`expired: true` ends all tokens of the user, false makes the preset one valid; `postback_url` may be null.

        `demat_consent`: with an empty one, sales of holdings want an authorisation at the depository.
        """
        body = await read_object(request)
        refuse_unknown(body, {"user_id", "expired", "postback_url", "demat_consent"})
        if not body.get("user_id"):
            raise missing_field("user_id")
        account = self._accounts.get(str(body["user_id"]))
        if account is None:
            raise input_error(f"no user {body['user_id']}")
        url = body.get("postback_url")
        if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
            raise input_error(f"`postback_url` wants an http URL or null, got {url!r}")
        if body.get("expired") not in (None, True, False):
            raise input_error("`expired` wants true or false")
        consent = body.get("demat_consent", account.demat_consent)
        if consent not in ("", "consent", "physical"):
            raise input_error("`demat_consent` wants consent, physical or an empty text")
        account.demat_consent = str(consent)
        if "postback_url" in body:
            account.postback_url = url
        if body.get("expired") is True:
            account.expire()
        elif body.get("expired") is False:
            account.revive(self._clock.now())
        self._accounts.changed(account)
        return json_response(session_row(account))

    async def read_order(self, request: Request) -> Response:
        """The order as the exchange has it, hidden or not."""
        order = self._exchange.any_order(request.path_params["order_id"])
        return json_response({**order_row(order, order.snapshot(self._clock.now())), "hidden": order.hidden})

    async def act_on_order(self, request: Request) -> Response:
        body = await read_object(request)
        refuse_unknown(body, {"fill", "reject", "cancel"})
        if len(body) != 1:
            raise input_error("name one of `fill`, `reject`, `cancel`")
        order = self._exchange.any_order(request.path_params["order_id"])
        if "fill" in body:
            self._exchange.engine.force_fill(order, read_whole(body, "fill"))
        elif "reject" in body:
            self._exchange.engine.force_reject(order, str(body["reject"]))
        elif body["cancel"] is True:
            self._exchange.engine.force_cancel(order)
        else:
            raise input_error("`cancel` wants true")
        return json_response(order_row(order, order.snapshot(self._clock.now())))

    async def send_text(self, request: Request) -> Response:
        """Sends `{"type", "data"}` to every socket of a user, as Kite does; answers with their number."""
        body = await read_object(request)
        refuse_unknown(body, {"user_id", "type", "data"})
        kind, user_id = body.get("type"), str(body.get("user_id") or "")
        if kind not in ("error", "message"):
            raise input_error(f"`type` wants error or message, got {kind!r}")
        if self._accounts.get(user_id) is None:
            raise input_error(f"no user {user_id}" if user_id else "`user_id` wants a user")
        return json_response({"sockets": self._sockets.push_text(user_id, str(kind), body.get("data", ""))})

    async def stats(self, _request: Request) -> Response:
        return json_response(
            {
                **self._traffic.stats(),
                "sockets": dict(self._sockets.count_by_key()),
                "tokens": [
                    {"user_id": socket.user_id, "api_key": socket.api_key, "tokens": socket.tokens}
                    for socket in self._sockets.stats()
                ],
                "ledger_entries": len(self._exchange.ledger),
                "postbacks": self._postbacks.stats(),
                "replay": None if self._player is None else self._player.stats(),
            }
        )

    async def reset(self, _request: Request) -> Response:
        """Begins the first day again: empty book, opening cash, preset tokens valid, no faults, counts 0.

        The ledger is kept.
        """
        self._faults.clear()
        self._traffic.clear()
        for account in self._accounts:
            account.expire()
            account.revive(self._clock.now())
        self._market.reset(self._clock.now())
        self._exchange.days.reset()
        return json_response({"ledger_entries": len(self._exchange.ledger)})

    def _clock_response(self) -> Response:
        return json_response({"now": self._clock.now().isoformat(), "speed": self._clock.speed})

    def _instrument(self, name: str) -> Instrument:
        exchange, _, tradingsymbol = name.partition(":")
        instrument = self._market.find(exchange, tradingsymbol)
        if instrument is None:
            raise input_error(f"no instrument {name}; write EXCHANGE:TRADINGSYMBOL")
        return instrument


def session_row(account: Account) -> dict[str, object]:
    """An account in `GET /_sim/session`; `tokens` is the number of valid ones."""
    return {
        "user_id": account.user_id,
        "api_key": account.api_key,
        "tokens": len(account.tokens),
        "postback_url": account.postback_url,
        "demat_consent": account.demat_consent,
    }
