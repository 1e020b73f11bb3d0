"""Which versions of an order does the caller accept? ``If-Match`` (RFC 9110, section 13.1.1) and ``ETag``."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from app.errors import BadInput, Problem

_TAG = r'(?:W/)?(?:"[!#-~]*"|[A-Za-z0-9_-]+)'
_LIST = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")
_ANY = "*"

IfMatch = Annotated[
    str | None,
    Header(
        max_length=1000,
        json_schema_extra={"pattern": rf"^(?:\*|{_TAG}(?:, ?{_TAG})*)$"},
        description="the `version` of the order as you have seen it: 412 `VERSION_STALE` when it has changed since",
    ),
]


def etag_of(version: object) -> dict[str, str]:
    """The header with an order's version; none for an order that the book has not shown."""
    return {} if version is None else {"ETag": f'"{version}"'}


def versions_of(if_match: str | None) -> frozenset[str] | None:
    """The versions that the caller accepts, None for any. Raises BadInput.

    A version may stand without quotes. A weak tag equals no version, as the RFC says.
    """
    if if_match is None or if_match.strip() == _ANY:
        return None
    if not _LIST.fullmatch(if_match):
        raise BadInput([Problem(loc=("header", "If-Match"), msg='wants versions in quotes, such as "5f0c…", or *')])
    tags = re.findall(_TAG, if_match)
    return frozenset(tag.strip('"') for tag in tags if not tag.startswith("W/"))
