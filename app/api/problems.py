"""How does an error become an HTTP answer? The error tree as ``application/problem+json`` (RFC 9457).

A problem about orders also has ``sent`` (can the broker have received it?) and ``retryable``: from the error where it
has them, else from what the status means before a handler ran.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from app import errors
from app.broker.outcomes import Sent
from app.db.postgres import CommitCutOff
from app.orders.entry.not_accepted import AcceptanceUnknown

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100  # entries of one answer; the answer to a bulk request could otherwise be megabytes long

STATUS_OF: Final[Mapping[type[errors.ServiceError], int]] = {
    errors.ServiceError: 500,
    errors.SettingsError: 500,
    errors.StartError: 500,
    errors.BadInput: 400,
    errors.NotAuthorised: 401,
    errors.NotFound: 404,
    errors.Gone: 410,
    errors.Conflict: 409,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.BrokerError: 502,
    errors.BrokerRefused: 422,
    errors.SessionExpired: 409,  # the caller can log in: no failure of this service
    errors.BrokerThrottled: 503,
    errors.BrokerUnavailable: 502,
}
STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "FORBIDDEN": 403,
    "HOST_NOT_TRUSTED": 403,
    "ORIGIN_NOT_TRUSTED": 403,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "VERSION_STALE": 412,
}

_ORDER_PATHS = ("/orders", "/advanced/batch-orders", "/positions")
_TRANSIENT = frozenset({429, 502, 503, 504})


class FieldProblem(BaseModel):
    """One wrong field: ``loc`` is its path, ``msg`` what is wrong."""

    loc: list[str | int]
    msg: str


class BrokerWords(BaseModel):
    """The broker's own answer."""

    error_type: str | None
    message: str | None
    http_status: int | None


class ProblemDetails(BaseModel):
    """Every error of this service.

    - `type`, `title`, `status`, `detail`: as RFC 9457 has them
    - `code`: stable; switch on it, not on `detail`
    - `request_id`: as in the header and in the log
    - `errors`: the wrong fields
    - `sent`: can the broker have received what this request asks for? It says nothing of an earlier one under the same
      key. `retryable`: may the request be repeated, under the same key? Only about orders
    - `broker`: the broker's own answer, where it was the broker that refused
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Bad Request",
                "status": 400,
                "detail": "body.quantity: Input should be greater than 0",
                "code": "VALIDATION_FAILED",
                "request_id": "0199f0c2-3f0a-7c11-9d3a-6f1f0a5f2b7e",
                "errors": [{"loc": ["body", "quantity"], "msg": "Input should be greater than 0"}],
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldProblem] | None = None
    sent: Sent | None = None
    retryable: Literal["yes", "no", "after_check"] | None = None
    broker: BrokerWords | None = None


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses=`` of a route that documents these statuses as problem+json."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def status_of(error: errors.ServiceError) -> int:
    """The HTTP status of an error: by its code where the table of codes has it, else by the nearest class."""
    by_code = STATUS_OF_CODE.get(error.code)
    if by_code is not None:
        return by_code
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def problem(
    *, status: int, code: str, detail: str, path: str, request_id: str, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The JSON object of a problem; ``extra`` wins over what the path implies."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if path.startswith(_ORDER_PATHS):
        body |= _about_orders(status)
    return body | dict(extra or {})


def render(error: errors.ServiceError, *, path: str, request_id: str) -> JSONResponse:
    """The answer to a request that raised an error of the tree."""
    status = status_of(error)
    internal = status == HTTPStatus.INTERNAL_SERVER_ERROR
    body = problem(
        status=status,
        code=error.code,
        detail="the service failed; the log has it under this request_id" if internal else error.message,
        path=path,
        request_id=request_id,
        extra=_carried(error),
    )
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=_headers(error, status))


def plain_problem(
    status: HTTPStatus, *, detail: str, path: str, request_id: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An answer without an error of the tree; its code is the name of the status."""
    code = _STATUS_CODES.get(status, status.name)
    body = problem(status=status, code=code, detail=detail, path=path, request_id=request_id)
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def internal_problem(*, path: str, request_id: str) -> JSONResponse:
    """The answer to an unexpected exception, without any detail of it."""
    return render(errors.ServiceError("unexpected"), path=path, request_id=request_id)


def stopped_problem(*, method: str, path: str, request_id: str) -> JSONResponse:
    """The answer to a request that the stop cancelled; for an order it must not look like a failure."""
    error: errors.ServiceError = errors.Unavailable("the service is stopping", code="STOPPING")
    if _changes_orders(method, path):
        error = AcceptanceUnknown("the service was stopped before the order was accepted or refused")
    return render(error, path=path, request_id=request_id)


def install(app: FastAPI) -> None:
    """Make the application answer every known error as a problem, in place of FastAPI's ``detail`` object."""
    app.add_exception_handler(errors.ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.ServiceError)  # noqa: S101 - by registration
    if isinstance(error, CommitCutOff) and _changes_orders(request.method, request.url.path):
        error = AcceptanceUnknown()
    return render(error, path=request.url.path, request_id=_request_id(request))


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - by registration
    problems = [field_problem(one) for one in error.errors()[:MAX_ERRORS]]
    return render(errors.BadInput(problems), path=request.url.path, request_id=_request_id(request))


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - by registration
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # FastAPI's answer to a body that cannot be parsed: nested too deep, no UTF-8
        unreadable = errors.BadInput([errors.Problem(loc=("body",), msg="cannot be read")])
        return render(unreadable, path=request.url.path, request_id=_request_id(request))
    return plain_problem(
        status,
        detail=_SENTENCES.get(status, error.detail),
        path=request.url.path,
        request_id=_request_id(request),
        headers=error.headers,
    )


_STATUS_CODES: Final[Mapping[int, str]] = {
    413: "BODY_TOO_LARGE"
}  # its name in the standard library depends on the version
METHOD_SENTENCE = "this path does not answer to this method"
_SENTENCES: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.NOT_FOUND: "there is nothing at this path",
    HTTPStatus.METHOD_NOT_ALLOWED: METHOD_SENTENCE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "the body must be JSON, with Content-Type: application/json",
}


def field_problem(entry: Mapping[str, Any]) -> errors.Problem:
    """Pydantic's entry without the input, which may be a secret. Of invalid JSON, ``msg`` has the parser's reason."""
    if entry["type"] == "json_invalid":
        reason = entry.get("ctx", {}).get("error", "cannot be read")
        return errors.Problem(loc=("body",), msg=f"not valid JSON: {reason}")
    return errors.Problem(loc=tuple(entry["loc"]), msg=str(entry["msg"]).removeprefix("Value error, "))


def _changes_orders(method: str, path: str) -> bool:
    return path.startswith(_ORDER_PATHS) and method not in {"GET", "HEAD"}


def _about_orders(status: int) -> dict[str, str]:
    """Errors without ``sent`` were raised before anything could be sent, except for an unexpected failure."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return {"sent": "unknown", "retryable": "after_check"}
    return {"sent": "no", "retryable": "yes" if status in _TRANSIENT else "no"}


def _carried(error: errors.ServiceError) -> dict[str, Any]:
    """What the error itself has: wrong fields, ``sent`` and ``retryable`` of orders, the broker's answer."""
    extra: dict[str, Any] = {}
    if isinstance(error, errors.BadInput):
        extra["errors"] = [{"loc": list(one.loc), "msg": one.msg} for one in error.problems[:MAX_ERRORS]]
    if isinstance(error, errors.BrokerError) and (error.error_type or error.http_status):
        words = {"error_type": error.error_type, "message": error.message, "http_status": error.http_status}
        extra["broker"] = words
    for name in ("sent", "retryable", "broker"):
        value = getattr(error, name, None)
        if value is not None:
            extra[name] = value
    return extra


def _headers(error: errors.ServiceError, status: int) -> dict[str, str]:
    """``Retry-After`` (whole seconds, at least 1) where waiting helps; ``WWW-Authenticate`` where a key is missing."""
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is None and isinstance(error, errors.BrokerThrottled):
        retry_after_s = 1.0
    headers = {} if retry_after_s is None else {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "ApiKey"
    return headers


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))
