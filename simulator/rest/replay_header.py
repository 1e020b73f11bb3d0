"""Middleware that adds `SOURCE_HEADER` to every HTTP answer and accepted upgrade: the prices are replayed."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.replay import SOURCE_HEADER

_START_MESSAGES = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class SourceMiddleware:
    """The outermost middleware, so that refusals and faults have the header too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] in _START_MESSAGES:
                message = {**message, "headers": [*message.get("headers", []), SOURCE_HEADER]}
            await send(message)

        await self._app(scope, receive, send_marked)
