"""What an order answer proves: one row per observation, and the claim that nothing else is ever called unsent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import Operation
from app.broker.outcomes import Accepted, ChildOrder, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled
from app.kite.wire.outcome import (
    REFUSAL_TYPES,
    Response,
    TransportFailure,
    classify,
    is_ip_refusal,
)

PLACE, MODIFY, CANCEL = Operation.PLACE, Operation.MODIFY, Operation.CANCEL
TIMED_OUT = "Order request timed out. Please check the order book and confirm before placing again."
PROCESSED = "Order cannot be cancelled as it is being processed. Try later."
EXCEEDED = "Maximum allowed order modifications exceeded."
IP_TEXT = "IP (10.0.0.1) is not allowed to place orders for this app. Update allowed IPs on the Kite developer console."
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def ok(data: Any) -> Response:
    return Response(status=200, body=json.dumps({"status": "success", "data": data}).encode())


def error(status: int, error_type: str | None, message: str | None) -> Response:
    body = {"status": "error", "message": message, "error_type": error_type, "data": None}
    return Response(status=status, body=json.dumps(body).encode())


# observation, operation, class: a comment says why
TABLE: list[tuple[Response | TransportFailure, Operation, type[SendOutcome]]] = [
    # nothing left the process: the only rows that may be sent again at once
    (TransportFailure(kind="ConnectError", maybe_sent=False), PLACE, NotSent),
    (TransportFailure(kind="ConnectTimeout", maybe_sent=False), PLACE, NotSent),
    (TransportFailure(kind="PoolTimeout", maybe_sent=False), MODIFY, NotSent),
    (TransportFailure(kind="TimeoutError", maybe_sent=False), CANCEL, NotSent),
    # the request may have left: an exception's type never proves a refusal
    (TransportFailure(kind="ReadTimeout", maybe_sent=True), PLACE, InDoubt),
    (TransportFailure(kind="WriteTimeout", maybe_sent=True), PLACE, InDoubt),
    (TransportFailure(kind="ReadError", maybe_sent=True), PLACE, InDoubt),
    (TransportFailure(kind="WriteError", maybe_sent=True), PLACE, InDoubt),
    (TransportFailure(kind="RemoteProtocolError", maybe_sent=True), CANCEL, InDoubt),
    (TransportFailure(kind="ConnectError", maybe_sent=True), PLACE, InDoubt),
    # 200 with an order id: the broker has it
    (ok({"order_id": "151220000000000"}), PLACE, Accepted),
    (ok({"order_id": "151220000000000"}), MODIFY, Accepted),
    (ok({"order_id": "151220000000000"}), CANCEL, Accepted),
    (Response(status=200, body=b'{"data":{"order_id":"1"}}'), PLACE, Accepted),  # a missing status key is tolerated
    # 200 that says nothing readable
    (Response(status=200, body=b""), PLACE, InDoubt),
    (Response(status=200, body=HTML), PLACE, InDoubt),
    (Response(status=200, body=b'{"status":"success","data":{"order_'), PLACE, InDoubt),  # truncated
    (Response(status=200, body=b"[]"), PLACE, InDoubt),
    (ok(None), PLACE, InDoubt),
    (ok({}), PLACE, InDoubt),
    (ok({"order_id": ""}), PLACE, InDoubt),
    (ok({"order_id": None}), PLACE, InDoubt),
    (ok({"order_id": True}), PLACE, InDoubt),
    (ok([]), PLACE, InDoubt),
    (error(200, "InputException", "no"), PLACE, InDoubt),  # an error under 200 proves neither
    (Response(status=200, body=b'{"status":"error","data":{"order_id":"1"}}'), PLACE, InDoubt),  # nor with an id
    # 400, a refusal type and a clear text
    (error(400, "InputException", "Missing or empty field `product`"), PLACE, Refused),
    (
        error(400, "MarginException", "Insufficient funds. Required margin is 1 but available margin is 0."),
        PLACE,
        Refused,
    ),
    (error(400, "HoldingException", "Insufficient stock holding."), PLACE, Refused),
    (error(400, "OrderException", "Trading in this contract is not allowed."), PLACE, Refused),
    (error(400, "UserException", "Segment is not enabled."), PLACE, Refused),
    # 428: depository authorisation is required before the order system gets the order
    (error(428, "HoldingException", "10 quantity needs authorisation at depository."), PLACE, Refused),
    # 400 whose text leaves it open: such orders have appeared in the book
    (error(400, "NetworkException", TIMED_OUT), PLACE, InDoubt),
    (error(400, "OrderException", TIMED_OUT), PLACE, InDoubt),
    (error(400, "InputException", "Gateway is busy"), PLACE, InDoubt),
    (error(400, "InputException", "Please check the orderbook"), PLACE, InDoubt),
    (error(400, "InputException", "Unable to reach the exchange"), PLACE, InDoubt),
    (error(400, "OrderException", "Your order is processing"), PLACE, InDoubt),
    (error(400, "OrderException", "Please try again later"), PLACE, InDoubt),
    (error(400, "InputException", None), PLACE, InDoubt),  # a type without a text
    (error(400, None, "Insufficient funds"), PLACE, InDoubt),  # a text without a type
    (error(400, "GeneralException", "Something failed"), PLACE, InDoubt),
    (error(400, "NewException", "Insufficient funds"), PLACE, InDoubt),  # unknown type
    (Response(status=400, body=HTML), PLACE, InDoubt),
    # 403
    (error(403, "TokenException", "Incorrect `api_key` or `access_token`."), PLACE, SessionRejected),
    (error(403, "TokenException", None), CANCEL, SessionRejected),
    (error(403, "PermissionException", "Insufficient permission for that call."), PLACE, Refused),
    (error(403, "PermissionException", IP_TEXT), PLACE, Refused),
    (error(403, "GeneralException", IP_TEXT), PLACE, Refused),  # the type varies, the text does not
    (error(400, "InputException", "No IPs configured for this app."), PLACE, Refused),
    (error(403, "GeneralException", "Forbidden"), PLACE, InDoubt),
    (Response(status=403, body=HTML), PLACE, InDoubt),
    # 429: turned away at the gateway, whatever the body
    (error(429, "NetworkException", "Too many requests"), PLACE, Throttled),
    (error(429, "NetworkException", "Maximum allowed order requests exceeded"), PLACE, Throttled),
    (Response(status=429, body=HTML), PLACE, Throttled),
    (error(429, "NetworkException", EXCEEDED), PLACE, Throttled),  # the cap exists for modifications only
    # the cap on modifications is final, whatever it is wrapped in
    (error(429, "NetworkException", EXCEEDED), MODIFY, Refused),
    (error(400, "NetworkException", EXCEEDED), MODIFY, Refused),
    (error(503, "NetworkException", EXCEEDED.rstrip(".")), MODIFY, Refused),
    (error(400, "NetworkException", f"Perhaps: {EXCEEDED}"), MODIFY, InDoubt),  # the exact text only
    # cancel and modify of an order that is on its way or done: this request did nothing
    (error(400, "InputException", PROCESSED), CANCEL, Refused),
    (error(400, "OrderException", PROCESSED.replace("cancelled", "modified")), MODIFY, Refused),
    (error(400, "InputException", PROCESSED), PLACE, InDoubt),
    # cancel and modify that reached no order: they did nothing, and can have made no second order
    (error(400, "GeneralException", "Couldn't find that `order_id`."), CANCEL, Refused),
    (error(400, "GeneralException", "Couldn't find that `order_id`."), MODIFY, Refused),
    (error(400, "DataException", "Order not found"), CANCEL, Refused),
    (error(400, "GeneralException", "Couldn't find that `order_id`."), PLACE, InDoubt),
    (error(404, "GeneralException", "Route not found"), MODIFY, Refused),
    (error(405, "GeneralException", "Request method not allowed"), CANCEL, Refused),
    (error(410, "GeneralException", "Gone"), MODIFY, Refused),
    (error(403, "GeneralException", "Forbidden"), CANCEL, Refused),
    (Response(status=404, body=HTML), CANCEL, Refused),
    (Response(status=403, body=b""), MODIFY, Refused),
    (error(403, "TokenException", "Incorrect `api_key` or `access_token`."), MODIFY, SessionRejected),
    (error(500, "GeneralException", "Couldn't find that `order_id`."), CANCEL, InDoubt),  # a 5xx proves nothing
    (Response(status=400, body=HTML), CANCEL, InDoubt),
    # everything of the 5xx family
    (error(500, "GeneralException", "Something failed"), PLACE, InDoubt),
    (error(500, "OrderException", "Insufficient funds"), PLACE, InDoubt),
    (error(502, "NetworkException", "Request failed (kitetrade-oms)."), PLACE, InDoubt),
    (error(503, "NetworkException", "Request failed."), PLACE, InDoubt),
    (error(504, "DataException", "Gateway timed out"), PLACE, InDoubt),
    (Response(status=502, body=HTML), PLACE, InDoubt),
    # the rest of HTTP
    (Response(status=302, body=b""), PLACE, InDoubt),
    (Response(status=201, body=b'{"data":{"order_id":"1"}}'), PLACE, InDoubt),
    (Response(status=204, body=b""), CANCEL, InDoubt),
    (error(404, "GeneralException", "Route not found"), PLACE, InDoubt),
    (error(405, "GeneralException", "Request method not allowed"), PLACE, InDoubt),
    (error(410, "InputException", "Gone"), PLACE, InDoubt),
]


@pytest.mark.parametrize(("observation", "operation", "expected"), TABLE)
def test_table(observation: Response | TransportFailure, operation: Operation, expected: type[SendOutcome]) -> None:
    """Each observation has the class of its row."""
    assert type(classify(observation, operation=operation)) is expected


def test_accepted_carries_the_children_of_an_autosliced_order() -> None:
    """Slices may be mixed: ids and errors side by side."""
    outcome = classify(
        ok(
            {
                "order_id": "9",
                "children": [
                    {"order_id": "10"},
                    {"error": {"code": 400, "error_type": "MarginException", "message": "no funds", "data": None}},
                ],
            }
        ),
        operation=PLACE,
    )
    assert outcome == Accepted(
        order_id="9",
        children=(ChildOrder(order_id="10"), ChildOrder(error_type="MarginException", message="no funds")),
    )


REFUSED_SLICE = {"error": {"code": 400, "error_type": "MarginException", "message": "no funds", "data": None}}
UNCLEAR_SLICE = {"error": {"code": 400, "error_type": "OrderException", "message": TIMED_OUT, "data": None}}


@pytest.mark.parametrize(
    ("children", "expected"),
    [
        ([REFUSED_SLICE, REFUSED_SLICE], Refused),
        ([{"order_id": "10"}, REFUSED_SLICE], Accepted),
        ([{"order_id": "10"}, UNCLEAR_SLICE], InDoubt),  # its text is no proof: it may be in the book
        ([REFUSED_SLICE, UNCLEAR_SLICE], InDoubt),
    ],
)
def test_the_answer_of_a_group_is_that_of_its_slices(
    children: list[dict[str, Any]], expected: type[SendOutcome]
) -> None:
    """In both shapes of the answer, if it has an id at all."""
    outcome = classify(ok({"order_id": "9", "children": children}), operation=PLACE)
    assert type(outcome) is expected
    if isinstance(outcome, Refused):
        assert outcome.message == "all 2 slices were refused: no funds"


def test_a_refusal_carries_the_brokers_text() -> None:
    """Type, message and status reach the caller unchanged."""
    assert classify(error(400, "InputException", "bad `price`"), operation=PLACE) == Refused(
        error_type="InputException", message="bad `price`", http_status=400
    )


def test_in_doubt_says_what_was_seen() -> None:
    """The reason names status, type and text for the person who will look."""
    outcome = classify(error(400, "NetworkException", TIMED_OUT), operation=PLACE)
    assert outcome == InDoubt(
        reason=f"HTTP 400 NetworkException: {TIMED_OUT}", error_type="NetworkException", http_status=400
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [(PROCESSED, True), (PROCESSED.replace("cancelled", "modified"), True), ("Insufficient funds", False)],
)
def test_being_processed_is_recognised(message: str, expected: bool) -> None:
    """The caller must distinguish this refusal: it says nothing about the order's state."""
    for operation in (Operation.CANCEL, Operation.MODIFY):
        outcome = classify(error(400, "OrderException", message), operation=operation)
        assert isinstance(outcome, Refused)
        assert outcome.being_processed is expected


def test_an_ip_refusal_is_recognised_by_its_text() -> None:
    """The operator's alarm hangs on it."""
    assert is_ip_refusal(IP_TEXT)
    assert not is_ip_refusal("Insufficient permission for that call.")


statuses = st.integers(0, 999)
operations = st.sampled_from(Operation)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["success", "error"]) | st.none(),
        "error_type": st.sampled_from([*sorted(REFUSAL_TYPES), "TokenException", "NetworkException"]) | st.integers(),
        "message": st.text(max_size=30) | st.sampled_from([TIMED_OUT, PROCESSED, EXCEEDED, IP_TEXT]) | st.none(),
        "data": st.recursive(
            st.none() | st.booleans() | st.text(max_size=5) | st.integers() | st.just({"order_id": "1"}),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["order_id", "children", "error"]), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    },
).map(lambda envelope: json.dumps(envelope).encode())
bodies = st.binary(max_size=60) | envelopes | st.just(b"[" * 100_000)


@given(statuses, bodies, operations)
def test_no_response_is_ever_called_unsent(status: int, body: bytes, operation: Operation) -> None:
    """Whoever answered has read the request; and no status or body makes the classification raise."""
    assert not isinstance(classify(Response(status=status, body=body), operation=operation), NotSent)


@given(st.text(max_size=20), st.booleans(), operations)
def test_a_failure_is_unsent_exactly_if_no_byte_left(kind: str, maybe_sent: bool, operation: Operation) -> None:
    """The exception's name decides nothing."""
    outcome = classify(TransportFailure(kind=kind, maybe_sent=maybe_sent), operation=operation)
    assert type(outcome) is (InDoubt if maybe_sent else NotSent)


@given(statuses.filter(lambda status: status not in (400, 403, 428)), bodies)
def test_only_proven_statuses_refuse_a_placement(status: int, body: bytes) -> None:
    """A placement is refused by 400, 403 and 428 alone."""
    assert not isinstance(classify(Response(status=status, body=body), operation=PLACE), Refused)
