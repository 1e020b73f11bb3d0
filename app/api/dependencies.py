"""What routes take as arguments: ``ServicesDep``, ``PrincipalDep``, ``RequestIdDep``, and the account in three forms.

The middleware has put the first three there: a caller is authenticated before a route runs. A route that names an
account calls ``require_account``.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Path, Query
from starlette.requests import HTTPConnection

from app.api.keys import Principal
from app.api.services import Services
from app.broker.identifiers import DEFAULT_ACCOUNT, AccountId
from app.errors import BadInput, NotAuthorised, Problem

AccountIdPath = Annotated[AccountId, Path(examples=[DEFAULT_ACCOUNT])]
AccountIdQuery = Annotated[AccountId, Query(description="which account", examples=[DEFAULT_ACCOUNT])]
AccountFilter = Annotated[AccountId | None, Query(description="of one account only")]


DATABASE_S = 4.0
"""What a request waits for the database beyond the ``wait`` that it asked for, however many answers it needs."""


BROKER_S = 20.0
"""What a request waits that changes something at the broker: a login or a log-out, which then must be stored."""

HISTORY_S = 60.0
"""What a range of candles takes at the broker's pace, with a reserve."""

DUMP_S = 150.0
"""What the instruments dump takes, and storing it."""


def services_of(connection: HTTPConnection) -> Services:
    """The running services; for routes and for WebSocket endpoints alike."""
    return cast("Services", connection.state.services)


def require_account(services: Services, *, principal: Principal, account_id: str) -> None:
    """Raises NotAuthorised (403) for an account outside the caller's key, NotFound for one that does not exist."""
    if not services.api_keys.allowed(principal, account_id):
        raise NotAuthorised(f"this key may not use account {account_id}", code="FORBIDDEN")
    services.accounts.get(account_id)


def require_account_or_all(services: Services, *, principal: Principal, account_id: str | None) -> None:
    """A list over all accounts is for keys that may use all; callers with other keys must name an account.

    Raises as ``require_account`` does, and BadInput for a missing account.
    """
    if account_id is not None:
        require_account(services, principal=principal, account_id=account_id)
    elif principal.accounts is not None:
        raise BadInput([Problem(loc=("query", "account_id"), msg="is required: this key is for certain accounts only")])


# FastAPI runs a dependency that is no coroutine in a thread, which costs more than everything that these do
async def _services(connection: HTTPConnection) -> Services:
    return services_of(connection)


async def _principal(connection: HTTPConnection) -> Principal:
    return cast("Principal", connection.state.principal)


async def _request_id(connection: HTTPConnection) -> str:
    return cast("str", connection.state.request_id)


ServicesDep = Annotated[Services, Depends(_services)]
PrincipalDep = Annotated[Principal, Depends(_principal)]
RequestIdDep = Annotated[str, Depends(_request_id)]
