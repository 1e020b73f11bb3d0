"""Every error is problem+json, with its status, code, and whether a client may repeat the request."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import app
from app import errors
from app.api.problems import STATUS_OF, render, status_of
from app.kit.json import decode_json


def _every_class(root: type[errors.ServiceError] = errors.ServiceError) -> Iterator[type[errors.ServiceError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _every_class(kind)


def _body(error: errors.ServiceError, *, path: str = "/accounts") -> dict[str, object]:
    body: dict[str, object] = decode_json(bytes(render(error, path=path, request_id="r-1").body))
    return body


def test_every_class_of_the_tree_has_a_status_of_its_own_or_of_a_parent_below_the_root() -> None:
    """A class that only the root covers would be answered 500 by accident."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if module.name != "app.__main__":
            importlib.import_module(module.name)
    for kind in _every_class():
        if kind is not errors.ServiceError:
            assert any(parent in STATUS_OF for parent in kind.__mro__[: kind.__mro__.index(errors.ServiceError)]), kind


def test_the_table_names_every_class_of_the_errors_module() -> None:
    """The tree in ``app.errors`` is mapped class by class."""
    declared = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert declared == set(STATUS_OF)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadInput([errors.Problem(loc=("body",), msg="wrong")]), 400),
        (errors.NotAuthorised("who"), 401),
        (errors.NotAuthorised("not you", code="FORBIDDEN"), 403),
        (errors.NotFound("order", "1"), 404),
        (errors.Conflict("already"), 409),
        (errors.Gone("instrument", "1", code="INSTRUMENT_EXPIRED"), 410),
        (errors.Conflict("another request", code="IDEMPOTENCY_KEY_REUSED"), 422),
        (errors.BrokerRefused("no", error_type="InputException", http_status=400), 422),
        (errors.RateLimited("slow down", retry_after_s=0.2), 429),
        (errors.BrokerUnavailable("cut off"), 502),
        (errors.Unavailable("database"), 503),
        (errors.SessionExpired("log in", http_status=403), 409),
    ],
)
def test_an_error_has_the_status_that_clients_rely_on(error: errors.ServiceError, status: int) -> None:
    """Code and status are part of the interface."""
    body = _body(error)
    assert status_of(error) == status
    assert body["status"] == status
    assert body["code"] == error.code
    assert body["request_id"] == "r-1"
    assert {"type", "title", "detail"} <= body.keys()


def test_bad_input_lists_one_entry_per_field() -> None:
    """All problems at once, each with its place."""
    problems = [errors.Problem(loc=("body", "a"), msg="x"), errors.Problem(loc=("body", "b", 0), msg="y")]
    assert _body(errors.BadInput(problems))["errors"] == [
        {"loc": ["body", "a"], "msg": "x"},
        {"loc": ["body", "b", 0], "msg": "y"},
    ]


def test_a_refusal_repeats_the_brokers_words() -> None:
    """``broker`` has Kite's answer, beside our own code."""
    body = _body(errors.BrokerRefused("No such order", error_type="OrderException", http_status=400))
    assert body["broker"] == {"error_type": "OrderException", "message": "No such order", "http_status": 400}


def test_retry_after_is_whole_seconds_and_at_least_one() -> None:
    """``Retry-After`` never invites to ask again at once."""
    for seconds, header in ((0.05, "1"), (1.0, "1"), (6.2, "7")):
        response = render(errors.RateLimited("slow", retry_after_s=seconds), path="/", request_id="r")
        assert response.headers["retry-after"] == header


@pytest.mark.parametrize(
    ("error", "sent", "retryable"),
    [
        (errors.NotFound("order", "1"), "no", "no"),
        (errors.RateLimited("slow", retry_after_s=1), "no", "yes"),
        (errors.Unavailable("database"), "no", "yes"),
        (errors.ServiceError("bug"), "unknown", "after_check"),
    ],
)
def test_an_error_about_orders_has_sent_and_retryable(error: errors.ServiceError, sent: str, retryable: str) -> None:
    """Before a handler decides otherwise nothing was sent; after an internal failure it is not known."""
    body = _body(error, path="/orders/123")
    assert (body["sent"], body["retryable"]) == (sent, retryable)
    assert "sent" not in _body(error, path="/accounts")


def test_the_fields_of_an_order_error_win_over_the_rule() -> None:
    """They are more precise than its status."""

    class OrderError(errors.Conflict):
        sent = "unknown"
        retryable = "after_check"

    body = _body(OrderError("in doubt"), path="/orders")
    assert (body["sent"], body["retryable"]) == ("unknown", "after_check")


def test_an_internal_failure_shows_no_detail() -> None:
    """The message of a 500 stays in the log."""
    body = _body(errors.ServiceError("password is hunter2"))
    assert body["status"] == 500
    assert "hunter2" not in str(body)
