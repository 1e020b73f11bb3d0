"""Kite's response envelope, and the one error that every route raises.

Success is `{"status": "success", "data": ...}`; failure is `{"status": "error", "message", "error_type", "data": null}`
with a real 4xx or 5xx status (Go's client takes a 200 as success). A neighbour raises `KiteError`, returns
`success(...)`, and reads a request through `query_params`, `form_params` and `json_body`.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.errors import KiteError, input_error, missing_field
from simulator.formats import format_time, to_number

MAX_BODY_BYTES = 1 << 20

__all__ = [
    "KiteError",
    "encode_json",
    "encode_plain",
    "failure",
    "form_params",
    "format_time",
    "input_error",
    "json_body",
    "json_response",
    "missing_field",
    "parse_json",
    "plain_success",
    "query_params",
    "read_body",
    "success",
]


def success(data: object) -> Response:
    """HTTP 200 with `data` in the envelope; Decimals become numbers, datetimes IST text of 19 characters."""
    return json_response({"status": "success", "data": data})


def plain_success(data: object) -> Response:
    """The same, much faster, for large `data` of nothing but dicts, lists, text, numbers and None."""
    return Response(encode_plain({"status": "success", "data": data}), media_type="application/json")


def failure(error: KiteError) -> Response:
    body = {"status": "error", "message": error.message, "error_type": error.error_type, "data": None}
    return json_response(body, status=error.status)


def json_response(body: object, *, status: int = 200) -> Response:
    return Response(encode_json(body), status_code=status, media_type="application/json")


def encode_json(body: object) -> bytes:
    return json.dumps(body, default=_encode_value, separators=(",", ":"), ensure_ascii=False).encode()


def encode_plain(body: object) -> bytes:
    """JSON of plain values; a Decimal or a datetime in it would not get Kite's form, so none may be there."""
    return msgspec.json.encode(body)


def _encode_value(value: object) -> object:
    if isinstance(value, Decimal):
        return to_number(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def query_params(request: Request) -> Mapping[str, str]:
    """The query string with the last value of each key; unknown keys are the caller's to ignore."""
    return {key: value for key, value in request.query_params.multi_items() if value != ""}


async def form_params(request: Request) -> Mapping[str, str]:
    """The form body whatever its Content-Type says; empty values count as absent."""
    text = (await read_body(request)).decode("utf-8", errors="replace")
    return dict(parse_qsl(text, keep_blank_values=False))


async def json_body(request: Request) -> object:
    """The JSON body. Raises 400 InputException for what is not JSON."""
    return parse_json(await read_body(request))


def parse_json(raw: bytes) -> object:
    """JSON with exact decimals. Raises 400 InputException."""
    try:
        return json.loads(raw, parse_float=Decimal)
    except ValueError as error:
        raise input_error("Invalid JSON in request body.") from error


async def read_body(request: Request) -> bytes:
    """The whole body, at most `MAX_BODY_BYTES`. Raises 413 InputException beyond."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise KiteError("Request body too large.", status=413, error_type="InputException")
        chunks.append(chunk)
    return b"".join(chunks)
