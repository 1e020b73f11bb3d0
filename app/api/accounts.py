"""Accounts and their broker sessions: is an account logged in, and how does a client log in? No answer has a secret."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from app.accounts.model import AccountState, TokenOrigin
from app.api.body_shapes import with_fields
from app.api.dependencies import BROKER_S, AccountIdPath, PrincipalDep, ServicesDep, require_account
from app.api.paging import Page
from app.api.problems import problem_responses
from app.api.services import Services
from app.api.strict_route import StrictRoute
from app.kit.answer_time import answering_within
from app.kit.clock import ist_iso


def _sendable(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("must be printable ASCII without spaces: it travels in a header")
    return token


Token = Annotated[
    SecretStr, Field(min_length=1, max_length=256, json_schema_extra={"pattern": "^[!-~]+$"}), AfterValidator(_sendable)
]


class AccountOut(BaseModel):
    """``token_origin`` says where the token in force came from; ``token_valid_until`` is null where it is not known.

    ``persistent``: a login over this API survives a restart, because ``TOKEN_KEY`` is set and the database has it.
    """

    account_id: str
    user_id: str | None
    has_session: bool
    token_origin: TokenOrigin | None
    login_time: str | None
    token_valid_until: str | None
    feed_connected: bool
    persistent: bool


class LoginUrlOut(BaseModel):
    """Where to log in."""

    login_url: str


class SessionIn(BaseModel):
    """``request_token`` from the redirect of Kite's login, or an ``access_token`` that was obtained elsewhere."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"access_token": "simtoken"},
            "oneOf": [
                with_fields("access_token", absent=["request_token"]),
                with_fields("request_token", absent=["access_token"]),
            ],
        },
    )

    request_token: Token | None = None
    access_token: Token | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.request_token is None) == (self.access_token is None):
            raise ValueError("give either request_token or access_token")
        return self


def build_router() -> APIRouter:
    router = APIRouter(
        route_class=StrictRoute, prefix="/accounts", tags=["accounts"], responses=problem_responses(401, 403, 404)
    )

    @router.get("")
    async def list_accounts(services: ServicesDep, principal: PrincipalDep) -> Page[AccountOut]:
        """The accounts that this key may use."""
        states = services.accounts.states()
        allowed = [state for state in states if services.api_keys.allowed(principal, state.account_id)]
        return Page(data=[_out(services, state) for state in allowed])

    @router.get("/{account_id}")
    async def get_account(services: ServicesDep, principal: PrincipalDep, account_id: AccountIdPath) -> AccountOut:
        """One account and its session."""
        require_account(services, principal=principal, account_id=account_id)
        return _out(services, services.accounts.get(account_id))

    @router.get("/{account_id}/login-url")
    async def login_url(services: ServicesDep, principal: PrincipalDep, account_id: AccountIdPath) -> LoginUrlOut:
        """The address to open in a browser; after the login, post the `request_token` of the redirect to `session`."""
        require_account(services, principal=principal, account_id=account_id)
        return LoginUrlOut(login_url=services.logins.login_url(account_id))

    @router.post("/{account_id}/session", responses=problem_responses(400, 409, 422, 502, 503))
    async def start_session(
        services: ServicesDep, principal: PrincipalDep, account_id: AccountIdPath, body: SessionIn
    ) -> AccountOut:
        """The new token is used at the next request and the next reconnect, without a restart.

        A token that the broker refuses is answered 422, and the session that there was stays.
        """
        require_account(services, principal=principal, account_id=account_id)
        with answering_within(BROKER_S):
            if body.access_token is not None:
                state = await services.logins.set_token(account_id, body.access_token)
            else:
                assert body.request_token is not None  # noqa: S101 - the model wants one of them
                state = await services.logins.exchange(account_id, body.request_token.get_secret_value())
        return _out(services, state)

    @router.delete("/{account_id}/session")
    async def end_session(services: ServicesDep, principal: PrincipalDep, account_id: AccountIdPath) -> AccountOut:
        """Log out at the broker and forget the token."""
        require_account(services, principal=principal, account_id=account_id)
        with answering_within(BROKER_S):
            return _out(services, await services.logins.log_out(account_id))

    return router


def _out(services: Services, state: AccountState) -> AccountOut:
    feed = services.feeds.get(state.account_id)
    return AccountOut(
        account_id=state.account_id,
        user_id=state.user_id,
        has_session=state.has_session,
        token_origin=state.token_origin,
        login_time=None if state.login_time is None else ist_iso(state.login_time),
        token_valid_until=None if state.token_valid_until is None else ist_iso(state.token_valid_until),
        feed_connected=feed is not None and feed.state.connected,
        persistent=services.logins.is_persistent(state.account_id),
    )
