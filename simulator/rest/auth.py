"""Authentication: the `Authorization: token api_key:access_token` header, checked before a route handles the request.

Route modules take a `Guard` and wrap their handlers: `Route("/quote", guard.signed_in(handler))`. The handler is called
with the request and the user id.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from simulator.errors import token_error
from simulator.exchange.accounts.users import Authenticate

SignedInHandler = Callable[[Request, str], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def parse_authorization(header: str | None) -> tuple[str, str] | None:
    """`token key:token` to `(key, token)`; None for anything else."""
    scheme, _, credentials = (header or "").partition(" ")
    api_key, separator, access_token = credentials.partition(":")
    if scheme != "token" or not separator or not api_key or not access_token:
        return None
    return api_key, access_token


class Guard:
    """Checks the session of every request with `authenticate`."""

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    def user(self, request: Request) -> str:
        """The user id of the request. Raises KiteError 403."""
        credentials = parse_authorization(request.headers.get("authorization"))
        user_id = self._authenticate(*credentials) if credentials else None
        if user_id is None:
            raise token_error()
        return user_id

    def signed_in(self, handler: SignedInHandler) -> Endpoint:
        """An endpoint that answers 403 unless the session is valid."""

        async def endpoint(request: Request) -> Response:
            return await handler(request, self.user(request))

        return endpoint
