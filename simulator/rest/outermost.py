"""The outermost middleware: a `Date` of the simulated time on every answer, and no strangers at `/_sim`.

The control routes need no key. A web page in the developer's browser must not reach them: neither by its own name for
this machine (DNS rebinding: a foreign `Host`), nor as a page of another origin (`Origin`).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.envelope import failure
from simulator.errors import KiteError

_CONTROL = re.compile(r"/_sim(/|\Z)")


class OutermostMiddleware:
    """`now` is the simulated time, aware."""

    def __init__(self, app: ASGIApp, *, now: Callable[[], datetime]) -> None:
        self._app = app
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = (b"date", format_datetime(self._now().astimezone(UTC), usegmt=True).encode())
                message = {**message, "headers": [*message.get("headers", []), date]}
            await send(message)

        if scope["type"] == "http" and _CONTROL.match(scope["path"]):
            headers = Headers(scope=scope)
            if not is_local(headers.get("host", ""), origin=headers.get("origin")):
                error = KiteError("The control routes take no foreign Host or Origin.", status=403,
                                  error_type="PermissionException")  # fmt: skip
                await failure(error)(scope, receive, send_dated)
                return
        await self._app(scope, receive, send_dated)


def is_local(host: str, *, origin: str | None) -> bool:
    """Whether a request is for this machine or network by address or plain name, and not of a page of another origin.

    A container's name has no dot; a name with one may be anybody's, and lead anywhere.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return (_is_address(name) or (bool(name) and "." not in name)) and origin in (None, f"http://{host}")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
