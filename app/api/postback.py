"""Kite's postback: a hint that an order changed, never a change of state (https://kite.trade/docs/connect/v3/postbacks/).

The path needs no key; its checksum proves the origin: SHA-256 of ``order_id + order_timestamp + api_secret``. A genuine
postback makes the reconciler read the order book; any other is refused and changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from json import JSONDecodeError

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from starlette.status import HTTP_202_ACCEPTED

from app.api.dependencies import AccountIdPath, ServicesDep
from app.api.problems import problem_responses
from app.api.strict_json import read_json
from app.api.strict_route import StrictRoute
from app.errors import BadInput, NotAuthorised, Problem


class Postback(BaseModel):
    """The part of Kite's payload that the checksum needs; everything else is read from the order book."""

    model_config = ConfigDict(extra="ignore")

    order_id: str = Field(min_length=1, max_length=64)
    order_timestamp: str = Field(min_length=1, max_length=64)
    checksum: str = Field(min_length=64, max_length=64)


class PostbackOut(BaseModel):
    """The postback is genuine, and the order book will be read."""

    accepted: bool


def build_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute, tags=["postback"])

    @router.post(
        "/postback/{account_id}",
        status_code=HTTP_202_ACCEPTED,
        responses=problem_responses(400, 403, 404, 413, 429),
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": Postback.model_json_schema()}}}
        },
    )
    async def postback(services: ServicesDep, account_id: AccountIdPath, request: Request) -> PostbackOut:
        """Kite calls this; the body is its order object."""
        payload = _parse(await request.body())
        credentials = services.accounts.credentials(account_id)()
        if not is_genuine(payload, api_secret=credentials.api_secret):
            raise NotAuthorised("the checksum does not fit this account", code="FORBIDDEN")
        services.order_wakeups.on_order_hint(account_id)
        return PostbackOut(accepted=True)

    return router


def is_genuine(payload: Postback, *, api_secret: SecretStr) -> bool:
    """Does the checksum fit? Compared in constant time.

    An account without a secret accepts nothing: every sender could make its checksum.
    """
    secret = api_secret.get_secret_value()
    if not secret:
        return False
    expected = hashlib.sha256(f"{payload.order_id}{payload.order_timestamp}{secret}".encode()).hexdigest()
    return hmac.compare_digest(expected.encode(), payload.checksum.encode())


def _parse(body: bytes) -> Postback:
    """The payload; Kite's Content-Type is not documented, so it is ignored. Raises BadInput."""
    try:
        return Postback.model_validate(read_json(body))
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise BadInput([Problem(loc=("body",), msg="is not valid JSON")]) from None
    except ValidationError as error:
        entries = error.errors(include_url=False, include_input=False)
        problems = [Problem(loc=("body", *entry["loc"]), msg=str(entry["msg"])) for entry in entries]
        raise BadInput(problems) from None
