"""Answers whose numbers are exact: a decimal becomes a JSON number with its own digits."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from app.kit.json import encode_json


class ExactJSON(JSONResponse):
    """A JSON answer encoded by ``app.kit.json``, for documents that are plain dictionaries."""

    def render(self, content: Any) -> bytes:
        return encode_json(content)
