"""The fingerprint of a request: equal for two requests that mean the same, however they are written. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.broker.orders import OrderChanges, OrderRequest
from app.kit.json import encode_json
from app.orders.entry.validation import with_order_defaults
from app.orders.state.new_tasks import OrderLine


def fingerprint_of(operation: str, account_id: str, lines: Sequence[OrderLine], **options: Any) -> bytes:
    """The SHA-256 (32 bytes) of the operation, account, orders and options in one canonical form.

    Missing defaults are filled in here, so an unchecked request has the same fingerprint as the checked one.
    """
    filled = [with_order_defaults(line) for line in lines]
    orders = [{**canonical(line.request), "tag": line.user_tag} for line in filled]
    whole = {"account_id": account_id, "operation": operation, "options": options, "orders": orders}
    return hashlib.sha256(encode_json(whole)).digest()


def canonical(request: OrderRequest | OrderChanges) -> dict[str, Any]:
    """The fields that are set, sorted, with one spelling of each number and time: 1400 and "1400.00" are equal."""
    values = sorted((field.name, getattr(request, field.name)) for field in fields(request))
    return {name: _one_spelling(value) for name, value in values if value is not None}


def _one_spelling(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
