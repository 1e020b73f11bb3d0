"""What an order request's answer proves: the table that decides whether an order may ever be sent again.

    no byte of the request left the process                       NotSent
    200, JSON with an order id                                    Accepted
    200, every slice with a refusal type and a refusal's text     Refused
    200, a slice with another error, which may exist all the same InDoubt
    400, a refusal type and a text that proves a refusal          Refused
    428, a refusal type (depository authorisation)                Refused
    400 or 403 "IP (...) is not allowed" / "No IPs configured"    Refused
    403 PermissionException                                       Refused
    403 TokenException                                            SessionRejected
    modify: "Maximum allowed order modifications exceeded"        Refused, whatever type and status came with it
    modify, cancel: "... as it is being processed"                Refused: it changed nothing, for whatever reason
    modify, cancel: "Couldn't find that `order_id`"               Refused: this request did nothing
    modify, cancel: 403, 404, 405, 410, whatever the body         Refused: no order was reached by this request
    429                                                           Throttled
    anything else                                                 InDoubt

"Anything else" is the point of the table. Orders have appeared in the book after 5xx, after a reset connection, after
the client's own timeout, and after HTTP 400 "Order request timed out. Please check the order book" (Kite forum,
comment 35732), so neither a status nor an exception's type proves that no order exists. A modification or a cancel can
make no second order, so a request that reached no order is refused for certain. That says nothing about the order
itself: a new id may be unknown to one part of the broker for a while.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from app.broker.orders import Operation
from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled
from app.kite.wire.envelope import Envelope, parse_envelope
from app.kite.wire.orders import parse_placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole answer: status line, headers and all of the body were read."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportFailure:
    """No whole answer. ``kind`` names the exception; ``maybe_sent`` is False only if no byte can have left."""

    kind: str
    maybe_sent: bool


Observation: TypeAlias = Response | TransportFailure

REFUSAL_TYPES = frozenset({"InputException", "MarginException", "HoldingException", "OrderException", "UserException"})

_DOUBTFUL = re.compile(
    r"time[d ]*out|order ?book|confirm before|try (again )?later|gateway|unable to (reach|connect)|processing",
    re.IGNORECASE,
)
_BEING_PROCESSED = re.compile(r"being processed", re.IGNORECASE)
_IP_REFUSED = re.compile(r"IP \(|No IPs configured")
_NOT_FOUND = re.compile(r"could ?n.t find|not found|does not exist", re.IGNORECASE)
_REACHED_NO_ORDER = frozenset({403, 404, 405, 410})
_MODIFICATIONS_EXCEEDED = re.compile(r"Maximum allowed order modifications exceeded\.?")


def is_ip_refusal(message: str) -> bool:
    """Whether the broker refuses this machine's address: no order of the account can pass until an operator acts."""
    return _IP_REFUSED.match(message) is not None


def classify(observation: Observation, *, operation: Operation) -> SendOutcome:
    """The outcome of one send. Total: every status and every body has one, and none raises."""
    if isinstance(observation, TransportFailure):
        if observation.maybe_sent:
            return InDoubt(reason=f"{observation.kind} after the request may have left")
        return NotSent(reason=observation.kind)
    envelope = parse_envelope(observation.body)
    if observation.status == 200:
        return _classify_success(envelope)
    return _classify_failure(envelope, status=observation.status, operation=operation)


def _classify_success(envelope: Envelope | None) -> SendOutcome:
    if envelope is None:
        return InDoubt(reason="HTTP 200 with a body that is not the broker's JSON", http_status=200)
    if envelope.is_error:
        return _in_doubt(envelope, status=200)
    placed = parse_placed(envelope.data)
    if placed is None:
        return InDoubt(reason="HTTP 200 without an order id", http_status=200)
    refused = [child for child in placed.children if child.order_id is None]
    unclear = [one for one in refused if not _is_refusal_text(str(one.error_type), str(one.message))]
    if unclear:  # such a slice may exist all the same
        return InDoubt(reason=f"HTTP 200 with a slice of unknown outcome: {unclear[0].message}", http_status=200)
    if refused and len(refused) == len(placed.children):
        message = f"all {len(refused)} slices were refused: {refused[0].message}"
        return Refused(error_type=str(refused[0].error_type), message=message, http_status=200)
    return Accepted(order_id=placed.order_id, children=placed.children)


def _classify_failure(envelope: Envelope | None, *, status: int, operation: Operation) -> SendOutcome:
    error_type = (envelope.error_type if envelope else None) or ""
    message = (envelope.message if envelope else None) or ""
    if _is_proven_refusal(status, error_type=error_type, message=message, operation=operation):
        return Refused(
            error_type=error_type,
            message=message,
            http_status=status,
            address_refused=is_ip_refusal(message),
            being_processed=_BEING_PROCESSED.search(message) is not None,
        )
    if status == 403 and error_type == "TokenException":
        return SessionRejected(message=message or "the broker does not know the access token")
    if operation is not Operation.PLACE and status in _REACHED_NO_ORDER:
        return Refused(error_type=error_type or "unknown", message=message or f"HTTP {status}", http_status=status)
    if status == 429:
        return Throttled(message=message or "the broker answered HTTP 429")
    return _in_doubt(envelope, status=status)


def _is_proven_refusal(status: int, *, error_type: str, message: str, operation: Operation) -> bool:
    if not error_type or not 400 <= status < 600:
        return False
    if operation is Operation.MODIFY and _MODIFICATIONS_EXCEEDED.fullmatch(message):
        return True
    if status == 403:
        return error_type == "PermissionException" or is_ip_refusal(message)
    if status not in (400, 428) or not message:
        return False
    if status == 400 and is_ip_refusal(message):
        return True
    if operation is not Operation.PLACE and _NOT_FOUND.search(message):
        return True
    if error_type in REFUSAL_TYPES and operation is not Operation.PLACE and _BEING_PROCESSED.search(message):
        return True
    return _is_refusal_text(error_type, message)


def _is_refusal_text(error_type: str, message: str) -> bool:
    return error_type in REFUSAL_TYPES and _DOUBTFUL.search(message) is None


def _in_doubt(envelope: Envelope | None, *, status: int) -> InDoubt:
    if envelope is None:
        return InDoubt(reason=f"HTTP {status} with a body that is not the broker's JSON", http_status=status)
    text = envelope.message or "no message"
    return InDoubt(
        reason=f"HTTP {status} {envelope.error_type or 'without error_type'}: {text}",
        error_type=envelope.error_type,
        http_status=status,
    )
