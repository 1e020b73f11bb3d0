"""Kite's response envelope, and how requests are read.

Success is `{"status": "success", "data": ...}`; failure is `{"status": "error", "message", "error_type", "data":
null}` with a 4xx or 5xx status (the Go client takes a 200 as success). Routes raise `KiteError`, return
`success(...)`, and read requests through `query_params`, `form_params` and `json_body`.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.errors import KiteError, input_error
from simulator.formats import format_time, to_number

MAX_BODY_BYTES = 1 << 20


def success(data: object) -> Response:
    """HTTP 200 with `data` in the envelope. Decimals become numbers, datetimes text in IST of 19 characters."""
    return json_response({"status": "success", "data": data})


def plain_success(data: object) -> Response:
    """As `success`, but much faster, for `data` that consists of dicts, lists, text, numbers and None only."""
    return Response(encode_plain({"status": "success", "data": data}), media_type="application/json")


def failure(error: KiteError) -> Response:
    """The error's status, with its type and message in the envelope."""
    body = {"status": "error", "message": error.message, "error_type": error.error_type, "data": None}
    return json_response(body, status=error.status)


def json_response(body: object, *, status: int = 200) -> Response:
    """JSON without an envelope."""
    return Response(encode_json(body), status_code=status, media_type="application/json")


def encode_json(body: object) -> bytes:
    """JSON with Kite's forms of Decimals, datetimes and dates. Raises TypeError for other types."""
    return json.dumps(body, default=_encode_value, separators=(",", ":"), ensure_ascii=False).encode()


def encode_plain(body: object) -> bytes:
    """JSON of plain values. It must contain no Decimal and no datetime: they would not get Kite's form."""
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
    """The query string with the last value of each key; empty values are left out."""
    return {key: value for key, value in request.query_params.multi_items() if value != ""}


async def form_params(request: Request) -> Mapping[str, str]:
    """The form body, whatever the Content-Type; empty values are left out."""
    text = (await read_body(request)).decode("utf-8", errors="replace")
    return dict(parse_qsl(text, keep_blank_values=False))


async def json_body(request: Request) -> object:
    """The JSON body. Raises KiteError 400 for a body that is not JSON."""
    return parse_json(await read_body(request))


def parse_json(raw: bytes) -> object:
    """JSON with numbers as exact Decimals. Raises KiteError 400."""
    try:
        return json.loads(raw, parse_float=Decimal)
    except ValueError as error:
        raise input_error("Invalid JSON in request body.") from error


async def read_body(request: Request) -> bytes:
    """The whole body. Raises KiteError 413 above `MAX_BODY_BYTES`."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise KiteError("Request body too large.", status=413, error_type="InputException")
        chunks.append(chunk)
    return b"".join(chunks)
