"""What routes ask for: ``ServicesDep``, ``PrincipalDep``, ``RequestIdDep``; all of it was put there by the frame.

The caller is authenticated before a route runs; a route that names an account calls ``require_account``.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar, cast

from fastapi import Depends, Query
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from app.api.keys import Principal
from app.api.services import Services
from app.broker.identifiers import DEFAULT_ACCOUNT, AccountId
from app.errors import NotAuthorised

PAGE_MAX = 500

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A list by cursor: pass ``next_cursor`` back as ``?cursor=`` until it is null."""

    data: list[T]
    next_cursor: str | None = None


def services_of(connection: HTTPConnection) -> Services:
    """For routes and for WebSocket endpoints alike."""
    return cast("Services", connection.state.services)


def require_account(services: Services, *, principal: Principal, account_id: str) -> None:
    """Raises NotAuthorised (403) for an account outside the caller's key, NotFound for one that does not exist."""
    if not services.api_keys.allowed(principal, account_id):
        raise NotAuthorised(f"this key may not use account {account_id}", code="FORBIDDEN")
    services.accounts.get(account_id)


# FastAPI runs a dependency that is no coroutine in a thread, which costs more than all that these do
async def _services(connection: HTTPConnection) -> Services:
    return services_of(connection)


async def _principal(connection: HTTPConnection) -> Principal:
    return cast("Principal", connection.state.principal)


async def _request_id(connection: HTTPConnection) -> str:
    return cast("str", connection.state.request_id)


ServicesDep = Annotated[Services, Depends(_services)]
PrincipalDep = Annotated[Principal, Depends(_principal)]
RequestIdDep = Annotated[str, Depends(_request_id)]
AccountIdQuery = Annotated[AccountId, Query(description="which account", examples=[DEFAULT_ACCOUNT])]
PageLimit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="how many entries at most")]
PageCursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
