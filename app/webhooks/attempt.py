"""One attempt of a delivery: sign, send, and decide what follows from the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from app.kit.clock import Clock, ist_iso
from app.kit.sealing import CannotOpen
from app.webhooks.claim_store import Stored
from app.webhooks.model import Answer, Claim
from app.webhooks.posting import Posting
from app.webhooks.retries import Decision, Outcome, decide
from app.webhooks.secrets import EndpointSecrets
from app.webhooks.signing import signed_headers


class Attempts:
    """``make`` tries a claimed delivery once. ``random`` gives numbers in [0, 1), for the jitter."""

    def __init__(
        self, posting: Posting, *, secrets: EndpointSecrets, clock: Clock, random: Callable[[], float]
    ) -> None:
        self._posting = posting
        self._secrets = secrets
        self._clock = clock
        self._random = random

    async def make(self, claim: Claim) -> tuple[Stored, Decision]:
        """What came of it, as it is stored, and what it means for the endpoint."""
        began = self._clock.now()
        if claim.data is None:
            answer = _unsent("event_gone")
            decision = Decision(outcome=Outcome.GIVEN_UP)
        else:
            answer = await self._send(claim, claim.data, timestamp=int(began.timestamp()))
            decision = decide(answer, failures_before=claim.failures, random=self._random())
        stored = Stored(
            delivery_id=claim.delivery_id,
            fence=claim.fence,
            outcome=decision.outcome,
            delay_s=decision.delay_s,
            attempt={
                "at": ist_iso(began),
                "http_status": answer.http_status,
                "ms": answer.ms,
                "address": answer.address,
                "error": answer.error,
                "body": answer.body,
            },
        )
        return stored, decision

    async def _send(self, claim: Claim, data: str, *, timestamp: int) -> Answer:
        body = body_of(claim, data)
        try:
            secrets = self._secrets.of(claim)
        except CannotOpen:
            secrets = []
        if not secrets:  # an unsigned request must not leave
            return _unsent("secret_unreadable")
        headers = signed_headers(
            message_id=claim.message_id, timestamp=timestamp, body=body, secrets=secrets, replayed=claim.replayed
        )
        return await self._posting.send(claim.url, headers=headers, body=body)


def body_of(claim: Claim, data: str) -> bytes:
    """The JSON that is signed and sent, the same at every try; ``data`` is written as it was stored."""
    fields: dict[str, Any] = {
        "type": claim.type,
        "timestamp": ist_iso(claim.occurred_at),
        "account_id": claim.account_id,
        "seq": claim.seq,
        "data": msgspec.Raw(data.encode()),
    }
    return msgspec.json.encode(fields)


def _unsent(error: str) -> Answer:
    return Answer(http_status=None, ms=0, address=None, error=error)
