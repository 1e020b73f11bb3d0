"""How accounts and the broker's orders are identified: one pattern, for every way into the service.

Identifiers travel in addresses, file names, Redis channels and log lines: the alphabet is harmless in all of them.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

IDENTIFIER = r"^[A-Za-z0-9_-]{1,64}$"

AccountId: TypeAlias = Annotated[str, Field(pattern=IDENTIFIER)]
"""An account as the operator named it in ``ACCOUNTS_FILE``."""

OrderId: TypeAlias = Annotated[str, Field(pattern=IDENTIFIER)]
"""The broker's id of an order."""

DEFAULT_ACCOUNT = "primary"
"""The account that is meant where a request names none, and the one that ``KITE_API_KEY`` configures."""
