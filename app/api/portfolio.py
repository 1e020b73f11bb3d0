"""Holdings, positions and margins: each request is read from the broker.

Kite's fields are unchanged, and numbers keep the broker's digits. Answers:
https://kite.trade/docs/connect/v3/portfolio/ and https://kite.trade/docs/connect/v3/user/#funds-and-margins.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.dependencies import AccountIdQuery, PrincipalDep, ServicesDep, require_account
from app.api.exact_json import ExactJSON
from app.api.keys import Principal
from app.api.paging import Page
from app.api.problems import problem_responses
from app.api.services import Services
from app.api.strict_route import StrictRoute
from app.broker.identifiers import DEFAULT_ACCOUNT
from app.broker.port import PortfolioGateway


class PositionsOut(BaseModel):
    """``net``: the present positions; ``day``: the activity of the day."""

    net: list[dict[str, Any]]
    day: list[dict[str, Any]]


def build_router() -> APIRouter:
    router = APIRouter(
        route_class=StrictRoute,
        prefix="/portfolio",
        tags=["portfolio"],
        responses=problem_responses(401, 403, 404, 409, 502, 503),
    )

    @router.get("/holdings", response_model=Page[dict[str, Any]])
    async def holdings(
        services: ServicesDep, principal: PrincipalDep, account_id: AccountIdQuery = DEFAULT_ACCOUNT
    ) -> Response:
        """Kite's holdings, all on one page."""
        portfolio = _portfolio(services, principal, account_id)
        return ExactJSON({"data": await portfolio.holdings(), "next_cursor": None})

    @router.get("/positions", response_model=PositionsOut)
    async def positions(
        services: ServicesDep, principal: PrincipalDep, account_id: AccountIdQuery = DEFAULT_ACCOUNT
    ) -> Response:
        """Kite's positions, `net` and `day`."""
        return ExactJSON(await _portfolio(services, principal, account_id).positions())

    @router.get("/margins", response_model=dict[str, Any])
    async def margins(
        services: ServicesDep, principal: PrincipalDep, account_id: AccountIdQuery = DEFAULT_ACCOUNT
    ) -> Response:
        """Kite's funds by segment: `equity` and `commodity`."""
        return ExactJSON(await _portfolio(services, principal, account_id).margins())

    return router


def _portfolio(services: Services, principal: Principal, account_id: str) -> PortfolioGateway:
    require_account(services, principal=principal, account_id=account_id)
    return services.brokers[account_id].portfolio
