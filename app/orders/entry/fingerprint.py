"""The fingerprint of a request: equal for two requests that ask for the same, however they were spelled. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any

from app.broker.orders import OrderChanges, OrderRequest
from app.kit.json import encode_json
from app.orders.entry.validation import with_order_defaults
from app.orders.state.new_tasks import OrderLine


def fingerprint_of(operation: str, account_id: str, lines: Sequence[OrderLine], **options: Any) -> bytes:
    """SHA-256 over everything that makes the request what it is, in one canonical form.

    Defaults are filled in here, so that it can be taken of a request that has not been checked.
    """
    filled = [with_order_defaults(line) for line in lines]
    orders = [{**canonical(line.request), "tag": line.user_tag} for line in filled]
    whole = {"account_id": account_id, "operation": operation, "options": options, "orders": orders}
    return hashlib.sha256(encode_json(whole)).digest()


def canonical(asked: OrderRequest | OrderChanges) -> dict[str, Any]:
    """What is set, in one order and one spelling: a price is the same as 1400, 1400.0 and "1400.00"."""
    values = sorted((field.name, getattr(asked, field.name)) for field in fields(asked))
    return {name: _digits(value) for name, value in values if value is not None}


def _digits(value: Any) -> Any:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else value
