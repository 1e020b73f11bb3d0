"""What do requests about webhooks look like, and their answers?"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.body_shapes import with_fields
from app.api.order_bodies import STORABLE
from app.api.query_values import StrictFlag
from app.broker.identifiers import DEFAULT_ACCOUNT, AccountId
from app.events.event_types import EventType
from app.kit.clock import IST
from app.webhooks.model import Delivery, DeliveryStatus, EndpointStatus, Webhook
from app.webhooks.target import MAX_URL

URL_PATTERN = r"^https?://[!-~]+$"
Url = Annotated[
    str, Field(min_length=1, max_length=MAX_URL, pattern=URL_PATTERN, examples=["https://example.com/hook"])
]
Events = Annotated[list[EventType], Field(max_length=50, description="types; empty: all")]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=STORABLE)]
Tags = Annotated[list[Tag], Field(max_length=50, description="only orders with one of these tags; empty: all")]
MaxAge = Annotated[float | None, Field(ge=1, le=86_400, description="seconds after which news are old")]
Description = Annotated[str, Field(max_length=500, pattern=STORABLE)]
Seq = Annotated[int, Field(ge=1, le=10**18)]


class WebhookIn(BaseModel):
    """An endpoint. `ordered` delivers one event at a time, in the order of the log.

    With `max_age_s`, news older than that are replaced by one `events_gap {from, to}`, which a replay fills. Ends of
    orders and batches and doubts are always delivered.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"url": "https://example.com/hook", "events": ["order_completed"]}},
    )

    account_id: AccountId = DEFAULT_ACCOUNT
    url: Url
    events: Events = []
    tags: Tags = []
    ordered: StrictFlag = False
    max_age_s: MaxAge = None
    description: Description = ""


class WebhookChangesIn(BaseModel):
    """What is given is changed. `status: active` resumes an endpoint that is paused or disabled."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"status": "paused"}})

    url: Url | None = None
    events: Events | None = None
    tags: Tags | None = None
    ordered: StrictFlag | None = None
    max_age_s: MaxAge = None
    description: Description | None = None
    status: Literal["active", "paused"] | None = None


class ReplayIn(BaseModel):
    """One delivery, or the events from `from_seq` to `to_seq` (to the newest when left out)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"from_seq": 42},
            "oneOf": [
                with_fields("delivery_id", absent=["from_seq", "to_seq"]),
                with_fields("from_seq", absent=["delivery_id"]),
            ],
        },
    )

    delivery_id: UUID | None = None
    from_seq: Seq | None = None
    to_seq: Seq | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.delivery_id is None) == (self.from_seq is None) or (self.to_seq and not self.from_seq):
            raise ValueError("give delivery_id, or from_seq and perhaps to_seq")
        return self


class WebhookOut(BaseModel):
    """A registered endpoint. `paused` keeps what is due until it is active again, `disabled` gets nothing new."""

    webhook_id: UUID = Field(description="of the registration")
    account_id: str
    url: str = Field(description="where events are sent")
    events: list[str] = Field(description="empty: all types")
    tags: list[str] = Field(description="empty: all orders")
    ordered: bool = Field(description="one at a time, in the order of the log")
    max_age_s: float | None = Field(description="older news are replaced by an `events_gap`")
    description: str = Field(description="the client's own words")
    status: EndpointStatus = Field(description="whether it is sent anything")
    failures: int = Field(description="attempts that failed since the last one that did not")
    created_at: datetime = Field(description="when it was registered")


class NewWebhookOut(WebhookOut):
    """The `secret` is shown here alone; `reachable` is whether the endpoint answered a HEAD request just now."""

    secret: str
    reachable: bool


class SecretOut(BaseModel):
    """The new secret, shown here alone. The one before signs too for 24 hours."""

    webhook_id: UUID
    secret: str


class WebhooksOut(BaseModel):
    """At most ten an account, on one page."""

    data: list[WebhookOut]
    next_cursor: None = None


class AttemptOut(BaseModel):
    """One try: `error` is null for a 2xx. `body` is the beginning of the answer."""

    at: datetime
    http_status: int | None
    ms: int
    address: str | None
    error: str | None
    body: str


class DeliveryOut(BaseModel):
    """One event on its way to one endpoint; `failed` will be tried again. The last 20 attempts are kept."""

    delivery_id: UUID
    seq: int
    type: str
    status: DeliveryStatus
    attempts: list[AttemptOut]


class ReplayOut(BaseModel):
    """`due` deliveries will be sent. Where one request did not do, go on with `from_seq` = `continue_from`."""

    due: int
    continue_from: int | None


def webhook_fields(webhook: Webhook) -> dict[str, Any]:
    wanted = webhook.wanted
    return {
        "webhook_id": webhook.webhook_id,
        "account_id": webhook.account_id,
        "url": wanted.url,
        "events": list(wanted.events),
        "tags": list(wanted.tags),
        "ordered": wanted.ordered,
        "max_age_s": wanted.max_age_s,
        "description": wanted.description,
        "status": webhook.status,
        "failures": webhook.failures,
        "created_at": webhook.created_at.astimezone(IST),
    }


def delivery_out(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        delivery_id=delivery.delivery_id,
        seq=delivery.seq,
        type=delivery.type,
        status=delivery.status,
        attempts=[AttemptOut.model_validate(one) for one in delivery.attempts],
    )
