"""The statuses of an order, as Kite writes them, and which may follow which."""

from collections.abc import Mapping
from typing import Final

AMO_RECEIVED: Final = "AMO REQ RECEIVED"
MODIFY_AMO_RECEIVED: Final = "MODIFY AMO REQ RECEIVED"
RECEIVED: Final = "PUT ORDER REQ RECEIVED"
VALIDATION_PENDING: Final = "VALIDATION PENDING"
OPEN_PENDING: Final = "OPEN PENDING"
OPEN: Final = "OPEN"
TRIGGER_PENDING: Final = "TRIGGER PENDING"
MODIFY_VALIDATION_PENDING: Final = "MODIFY VALIDATION PENDING"
MODIFY_PENDING: Final = "MODIFY PENDING"
MODIFIED: Final = "MODIFIED"
CANCEL_PENDING: Final = "CANCEL PENDING"
COMPLETE: Final = "COMPLETE"
CANCELLED: Final = "CANCELLED"
REJECTED: Final = "REJECTED"

TERMINAL: Final = frozenset({COMPLETE, CANCELLED, REJECTED})
LIVE: Final = frozenset({OPEN, TRIGGER_PENDING})
"""In which an order rests at the exchange."""
CHANGEABLE: Final = LIVE | {AMO_RECEIVED}
"""In which a modification or a cancel is accepted."""

TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    AMO_RECEIVED: frozenset({MODIFY_AMO_RECEIVED, RECEIVED, CANCELLED, REJECTED}),
    MODIFY_AMO_RECEIVED: frozenset({AMO_RECEIVED}),
    RECEIVED: frozenset({VALIDATION_PENDING, REJECTED}),
    VALIDATION_PENDING: frozenset({OPEN_PENDING, REJECTED}),
    OPEN_PENDING: frozenset({OPEN, TRIGGER_PENDING, REJECTED}),
    OPEN: frozenset({OPEN, COMPLETE, CANCELLED, MODIFY_VALIDATION_PENDING, CANCEL_PENDING, REJECTED}),
    TRIGGER_PENDING: frozenset({OPEN, CANCELLED, MODIFY_VALIDATION_PENDING, CANCEL_PENDING, REJECTED}),
    MODIFY_VALIDATION_PENDING: frozenset({MODIFY_PENDING, OPEN, TRIGGER_PENDING}),
    MODIFY_PENDING: frozenset({MODIFIED, COMPLETE}),
    MODIFIED: frozenset({OPEN, TRIGGER_PENDING}),
    CANCEL_PENDING: frozenset({CANCELLED, COMPLETE}),
    COMPLETE: frozenset(),
    CANCELLED: frozenset(),
    REJECTED: frozenset(),
}
"""The statuses that may follow each status. OPEN after OPEN is a partial fill."""
