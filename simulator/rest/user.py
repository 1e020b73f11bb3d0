"""`/connect/login`, `/session` and `/user`: login, sessions, profile and funds."""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from simulator.envelope import form_params, query_params, success
from simulator.errors import input_error
from simulator.exchange.accounts.users import Account, Accounts, Session
from simulator.exchange.entry.parameters import ORDER_TYPES
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.units import FUND_SEGMENTS, FundSegment
from simulator.formats import format_time
from simulator.market.instrument import EXCHANGES
from simulator.rest.auth import Guard

PRODUCTS = ["CNC", "NRML", "MIS", "BO", "CO"]
"""As Kite's profile lists them; an order may have others (`entry.parameters`)."""


class UserRoutes:
    """Kite's session and user routes. `redirect_url` is where a login sends the browser unless it names another."""

    def __init__(
        self, *, accounts: Accounts, exchange: Exchange, guard: Guard, now: Callable[[], datetime], redirect_url: str
    ) -> None:
        self._accounts = accounts
        self._exchange = exchange
        self._guard = guard
        self._now = now
        self._redirect_url = redirect_url

    def routes(self) -> list[Route]:
        signed_in = self._guard.signed_in
        return [
            Route("/connect/login", self.login, methods=["GET"]),
            Route("/session/token", self.open_session, methods=["POST"]),
            Route("/session/token", self.close_session, methods=["DELETE"]),
            Route("/session/refresh_token", self.renew_session, methods=["POST"]),
            Route("/user/profile", signed_in(self.profile), methods=["GET"]),
            Route("/user/profile/full", signed_in(self.full_profile), methods=["GET"]),
            Route("/user/margins", signed_in(self.margins), methods=["GET"]),
            Route("/user/margins/{segment}", signed_in(self.segment_margins), methods=["GET"]),
        ]

    async def login(self, request: Request) -> Response:
        """The browser's login, without a password: it redirects to the app with a request token.

        The parameter `redirect_url` is the simulator's own: Kite has it in the app's registration. `redirect_params` is
        Kite's, and is added to the redirect.
        """
        params = query_params(request)
        token = self._accounts.start_login(params.get("api_key", ""))
        target = params.get("redirect_url", self._redirect_url)
        query = [("request_token", token), ("action", "login"), ("status", "success")]
        query += parse_qsl(params.get("redirect_params", ""))
        separator = "&" if "?" in target else "?"
        return RedirectResponse(f"{target}{separator}{urlencode(query)}", status_code=302)

    async def open_session(self, request: Request) -> Response:
        form = await form_params(request)
        session = self._accounts.open_session(
            form.get("api_key", ""), form.get("request_token", ""), form.get("checksum", ""), now=self._now()
        )
        return success(session_object(session, refresh_token=self._accounts.issue_refresh_token(session)))

    async def close_session(self, request: Request) -> Response:
        params = query_params(request)
        self._accounts.invalidate(
            params.get("api_key", ""),
            access_token=params.get("access_token", ""),
            refresh_token=params.get("refresh_token", ""),
        )
        return success(data=True)

    async def renew_session(self, request: Request) -> Response:
        form = await form_params(request)
        session = self._accounts.renew(
            form.get("api_key", ""), form.get("refresh_token", ""), form.get("checksum", ""), now=self._now()
        )
        refresh_token = self._accounts.issue_refresh_token(session)
        return success(
            {
                "user_id": session.account.user_id,
                "access_token": session.access_token,
                "refresh_token": refresh_token,
            }
        )

    async def profile(self, _request: Request, user_id: str) -> Response:
        account = self._accounts.get(user_id)
        return success({**profile_object(user_id), "meta": {"demat_consent": account.demat_consent if account else ""}})

    async def full_profile(self, _request: Request, user_id: str) -> Response:
        return success(full_profile_object(user_id))

    async def margins(self, _request: Request, user_id: str) -> Response:
        return success({segment: self._funds(user_id, segment) for segment in FUND_SEGMENTS})

    async def segment_margins(self, request: Request, user_id: str) -> Response:
        for segment in FUND_SEGMENTS:
            if segment == request.path_params["segment"]:
                return success(self._funds(user_id, segment))
        raise input_error("Invalid `segment`.")

    def _funds(self, user_id: str, segment: FundSegment) -> dict[str, object]:
        orders = self._exchange.unfilled_orders(user_id)
        return self._exchange.portfolios[user_id].funds(orders, segment=segment)


def session_object(session: Session, *, refresh_token: str) -> dict[str, object]:
    """The answer to a login: profile and tokens."""
    account = session.account
    return {
        **profile_object(account.user_id),
        "api_key": account.api_key,
        "access_token": session.access_token,
        "public_token": public_token(account),
        "enctoken": "",
        "refresh_token": refresh_token,
        "silo": "",
        "login_time": format_time(session.login_time),
        "meta": {"demat_consent": account.demat_consent},
    }


def public_token(account: Account) -> str:
    """The token of Kite's web session, which has no use here."""
    return f"public{account.app_id:026d}"


def profile_object(user_id: str) -> dict[str, object]:
    """The object of `GET /user/profile`."""
    return {
        "user_id": user_id,
        "user_type": "individual",
        "email": f"{user_id.lower()}@example.com",
        "user_name": f"Simulated User {user_id}",
        "user_shortname": user_id,
        "broker": "ZERODHA",
        "exchanges": [*EXCHANGES, "MF"],
        "products": PRODUCTS,
        "order_types": ORDER_TYPES,
        "avatar_url": None,
    }


def full_profile_object(user_id: str) -> dict[str, object]:
    """The object of `GET /user/profile/full`."""
    return {
        **profile_object(user_id),
        "twofa_type": "totp",
        "phone": "*0000",
        "bank_accounts": [{"name": "SIMULATED BANK", "branch": "", "account": "*0000"}],
        "dp_ids": ["1200000000000000"],
        "pan": "*000A",
        "tags": [],
        "password_timestamp": "1970-01-01 00:00:00",
        "twofa_timestamp": "1970-01-01 00:00:00",
        "meta": {"poa": "", "silo": "", "account_blocks": []},
    }
