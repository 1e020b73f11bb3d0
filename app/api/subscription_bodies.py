"""What do requests and answers about subscriptions look like?"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.body_shapes import with_fields
from app.api.order_bodies import STORABLE
from app.broker.identifiers import AccountId
from app.broker.market import Mode
from app.kit.clock import ist_iso
from app.market.subscriptions.records import SubscriptionRecord
from app.market.subscriptions.service import API_OWNER
from app.market.subscriptions.tick_status import TickStatus

BULK_MAX = 3000


class SubscriptionIn(BaseModel):
    """Either `instrument_token`, or `exchange` and `tradingsymbol`. Without `account_id` the service chooses one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"exchange": "NSE", "tradingsymbol": "INFY", "requested_mode": "full"},
            "oneOf": [
                with_fields("instrument_token", absent=["exchange", "tradingsymbol"]),
                with_fields("exchange", "tradingsymbol", absent=["instrument_token"]),
            ],
        },
    )

    instrument_token: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    exchange: Annotated[str, Field(min_length=1, max_length=16, pattern=STORABLE)] | None = None
    tradingsymbol: Annotated[str, Field(min_length=1, max_length=64, pattern=STORABLE)] | None = None
    requested_mode: Mode = Mode.FULL
    account_id: AccountId | None = None

    @model_validator(mode="after")
    def _names_one_instrument(self) -> Self:
        by_symbol = self.exchange is not None and self.tradingsymbol is not None
        if (self.instrument_token is not None) == by_symbol or (self.exchange is None) != (self.tradingsymbol is None):
            raise ValueError("give either instrument_token, or exchange and tradingsymbol")
        return self


class SubscriptionsIn(BaseModel):
    """Many at once, in the order in which their results are answered."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "items": [
                    {"exchange": "NSE", "tradingsymbol": "INFY", "requested_mode": "full"},
                    {"exchange": "NSE", "tradingsymbol": "SBIN", "requested_mode": "quote"},
                ]
            }
        },
    )

    items: Annotated[list[SubscriptionIn], Field(max_length=BULK_MAX)]


class SubscriptionOut(BaseModel):
    """One instrument at one account.

    - `instrument_token`, `exchange`, `tradingsymbol`: the instrument; `account_id`: the account that streams it
    - `requested_mode`: the mode that you asked for; `mode`: the highest that any of `owners` wants
    - `status`: how far it is; `last_tick_age_ms`: null before the first tick
    - `error`: why it cannot be streamed: `INSTRUMENT_EXPIRED`
    - `created_at`, `updated_at`: IST
    """

    instrument_token: int
    exchange: str
    tradingsymbol: str
    account_id: str
    requested_mode: Mode
    mode: Mode
    owners: dict[str, Mode]
    status: TickStatus
    last_tick_age_ms: int | None
    error: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, record: SubscriptionRecord, *, owner: str = API_OWNER) -> SubscriptionOut:
        """``requested_mode`` is this owner's, or the effective one where it has none."""
        return cls(
            instrument_token=record.instrument_token,
            exchange=record.exchange,
            tradingsymbol=record.tradingsymbol,
            account_id=record.account_id,
            requested_mode=record.owners.get(owner, record.mode),
            mode=record.mode,
            owners=dict(record.owners),
            status=record.status,
            last_tick_age_ms=record.last_tick_age_ms,
            error=record.error,
            created_at=ist_iso(record.created_at),
            updated_at=ist_iso(record.updated_at),
        )


class TokenStatusOut(BaseModel):
    """How one instrument is streamed. `socket`: which of the account's sockets carries it; null while none does."""

    instrument_token: int
    exchange: str
    tradingsymbol: str
    account_id: str
    mode: Mode
    status: TickStatus
    socket: int | None
    last_tick_age_ms: int | None


class ItemError(BaseModel):
    """Why one item was refused; `code` as in a problem."""

    code: str
    detail: str


class ItemOut(BaseModel):
    """The result for the item at `index`: a subscription, or an error."""

    index: int
    subscription: SubscriptionOut | None = None
    error: ItemError | None = None


class ItemsOut(BaseModel):
    """`changed` were written, `removed` are no longer wanted, `refused` have an error; the others were unchanged."""

    data: list[ItemOut]
    changed: int
    removed: int
    refused: int


class RemovedOut(BaseModel):
    """`still_wanted_by`: other owners, for whom the instrument is still streamed."""

    instrument_token: int
    still_wanted_by: list[str]
