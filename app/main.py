"""The application: middleware, routers, lifespan. Nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from app import __version__
from app.api import (
    accounts,
    admin,
    batches,
    event_stream,
    events,
    health,
    instruments,
    market_data,
    mass_cancel,
    order_stream,
    orders,
    portfolio,
    position_close,
    postback,
    problems,
    schemas,
    subscriptions,
    tick_stream,
    webhook_deliveries,
    webhooks,
)
from app.api.methods import HeadAsGet, MethodCheck, PathMethods
from app.api.middleware import BodyLimit, Guard, RequestFrame
from app.api.openapi import serve_document
from app.api.services import Services
from app.api.trusted_names import TrustedNames
from app.bootstrap import open_services
from app.composition.parts import Overrides
from app.config import Settings
from app.kit.clock import SystemClock
from app.kit.ids import IdSource

DESCRIPTION = (
    "Ticks, orders and events between your programs and Kite Connect. Every error is `application/problem+json`."
)

KEYLESS_BODY_BYTES = 16_384
"""The largest body without an API key: Kite's postback has two thousand bytes."""

RESOURCES = (
    health,
    accounts,
    instruments,
    subscriptions,
    market_data,
    orders,
    mass_cancel,
    position_close,
    batches,
    portfolio,
    events,
    event_stream,
    schemas,
    order_stream,
    tick_stream,
    webhooks,
    webhook_deliveries,
    postback,
    admin,
)


def create_app(settings: Settings, *, services: Services | None = None, overrides: Overrides | None = None) -> FastAPI:
    """The application. Its lifespan opens the services, or uses ``services`` that the caller has opened and will close.

    ``overrides`` are those of ``app.bootstrap.open_services``.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        if services is not None:
            yield {"services": services}
            return
        async with open_services(settings, overrides=overrides) as opened:
            yield {"services": opened}

    ids, methods = IdSource(SystemClock()), PathMethods()
    app = FastAPI(
        title="ticker-service",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        middleware=[
            Middleware(HeadAsGet),
            Middleware(RequestFrame, new_id=lambda: str(ids.uuid())),
            Middleware(
                Guard,
                trusted=TrustedNames.from_settings(settings),
                docs="closed" if settings.environment == "production" else "open",
            ),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes, keyless_bytes=KEYLESS_BODY_BYTES),
            Middleware(MethodCheck, methods=methods),
        ],
    )
    problems.install(app)
    for resource in RESOURCES:
        router = resource.build_router()
        app.include_router(router)
        methods.read(router.routes)
    serve_document(app)
    methods.read(app.routes)
    return app
