"""The header that says that prices are replayed, on every HTTP answer and every accepted upgrade."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.replay import SOURCE_HEADER

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class SourceMiddleware:
    """Goes around everything else, so that refusals and faults carry the header too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] in _STARTS:
                message = {**message, "headers": [*message.get("headers", []), SOURCE_HEADER]}
            await send(message)

        await self._app(scope, receive, send_marked)
