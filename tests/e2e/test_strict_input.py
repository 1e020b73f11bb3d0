"""Requests are taken as they are meant, or refused: no value is guessed, and no path answers for another."""

import contextlib
import http.client
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.environment import API_KEY, Broker, Service, limit_order
from tests.e2e.test_bad_requests import check_problem, counts, places

JSON = {"Content-Type": "application/json"}
FORM = "application/x-www-form-urlencoded"


def shown(answer: httpx.Response) -> dict[str, str]:
    """The form that the broker would get."""
    assert answer.status_code == 200, answer.text
    form: dict[str, str] = answer.json()["requests"][0]["form"]
    return form


def dry_run(service: Service, **changes: Any) -> httpx.Response:
    return service.client.post("/orders", params={"dry_run": "true"}, json=limit_order(**changes))


@pytest.mark.parametrize("value", [0, 1, "no", "false", "true", None, 0.0, []])
def test_a_switch_of_a_body_is_true_or_false(service: Service, broker: Broker, value: Any) -> None:
    """0 and "no" undid the rollback of a batch."""
    before = counts(service, broker)
    body = {"orders": [limit_order()], "rollback_on_failure": value}
    answer = service.client.post("/advanced/batch-orders", json=body)
    assert places(check_problem(answer, 400, "VALIDATION_FAILED")) == {("body", "rollback_on_failure")}
    answer = service.client.post("/orders", json=limit_order(autoslice=value))
    assert places(check_problem(answer, 400, "VALIDATION_FAILED")) == {("body", "autoslice")}
    assert counts(service, broker) == before


def test_an_object_with_a_name_twice_is_refused(service: Service, broker: Broker) -> None:
    """A proxy and this service would each read another order."""
    before = counts(service, broker)
    text = json.dumps(limit_order())[:-1]
    answer = service.client.post("/orders", content=text + ', "quantity": 99}', headers=JSON)
    assert "quantity" in check_problem(answer, 400, "VALIDATION_FAILED")["errors"][0]["msg"]
    assert counts(service, broker) == before


@pytest.mark.parametrize("price", ["1400.1500000000001", "1400.10", "1400.1", "1400.03", "1400.0000001"])
def test_a_price_is_the_same_as_number_and_as_text(service: Service, price: str) -> None:
    """Digits that a binary float cannot keep are not dropped."""
    text = json.dumps(limit_order(price="?"))
    answers = [
        service.client.post("/orders?dry_run=true", content=text.replace('"?"', written), headers=JSON)
        for written in (price, f'"{price}"')
    ]
    assert answers[0].status_code == answers[1].status_code == (200 if price in {"1400.10", "1400.1"} else 400)
    number, text_too = (one.json() for one in answers)
    assert number.get("errors") == text_too.get("errors")
    if answers[0].status_code == 200:
        assert shown(answers[0])["price"] == shown(answers[1])["price"]


@pytest.mark.parametrize("content_type", [None, "text/plain", FORM, "application/jsonp", "application", ""])
def test_a_body_says_that_it_is_json(service: Service, content_type: str | None) -> None:
    """415 and what to send, instead of a complaint about a dictionary."""
    for path in ("/orders", "/subscriptions", "/admin/kill"):
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = service.client.post(path, content=json.dumps(limit_order()).encode(), headers=headers)
        body = check_problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE", about_orders=path == "/orders")
        assert "application/json" in body["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_taken_however_it_is_named(service: Service, content_type: str) -> None:
    """With a character set too, and in any case."""
    content = json.dumps(limit_order()).encode()
    answer = service.client.post("/orders?dry_run=true", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"order_type": "MARKET", "price": 0, "trigger_price": 0}, {"price", "trigger_price"}),
        ({"trigger_price": 0}, {"trigger_price"}),
        ({"order_type": "MARKET", "price": "0.00", "disclosed_quantity": 0}, {"price"}),
        ({"order_type": "SL-M", "price": 0, "trigger_price": 1390}, {"price"}),
        ({"validity_ttl": 0, "iceberg_legs": 0, "iceberg_quantity": 0}, {"validity_ttl", "iceberg_legs"}),
        ({"market_protection": 0}, {"market_protection"}),
    ],
)
def test_a_zero_in_a_field_without_use_is_absent(service: Service, changes: dict[str, Any], absent: set[str]) -> None:
    """As Kite and its clients take it."""
    assert not absent & shown(dry_run(service, **changes)).keys()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"price": 0}, "price"),
        ({"order_type": "SL", "trigger_price": 0}, "trigger_price"),
        ({"order_type": "SL", "price": 0, "trigger_price": 1390}, "price"),
        ({"order_type": "MARKET", "price": 0, "market_protection": 0}, "market_protection"),
        ({"validity": "TTL", "validity_ttl": 0}, "validity_ttl"),
        ({"variety": "iceberg", "iceberg_legs": 0, "iceberg_quantity": 1}, "iceberg_legs"),
        ({"order_type": "MARKET", "price": -1}, "price"),
        ({"order_type": "SL", "price": 1389, "trigger_price": 1390}, "price"),
        ({"order_type": "SL", "transaction_type": "SELL", "price": 1391, "trigger_price": 1390}, "price"),
        ({"valid_until": 0}, "valid_until"),
        ({"valid_until": "4102444800"}, "valid_until"),
        ({"valid_until": "2026-01-05"}, "valid_until"),
        ({"valid_until": "9999-12-31T23:59:59-10:00"}, "valid_until"),
        ({"valid_until": "0001-01-01T00:00:00+23:00"}, "valid_until"),
    ],
)
def test_what_the_broker_would_refuse_is_refused_in_the_dry_run(
    service: Service, changes: dict[str, Any], field: str
) -> None:
    """A zero where the order needs a value, a stop on the wrong side of its trigger, a time that is none."""
    body = check_problem(dry_run(service, **changes), 400, "VALIDATION_FAILED")
    assert ("body", field) in places(body), body["errors"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/instruments?expiry=0", "expiry"),
        ("/instruments?expiry=1767225600", "expiry"),
        ("/instruments?expiry=2026-01-01T00:00:00", "expiry"),
        ("/instruments?cursor=zz", "cursor"),
        ("/orders?cursor=%00", "cursor"),
        ("/orders/tasks?cursor=42", "cursor"),
        ("/history?instrument_token=408065&from=2026-01-01&to=2026-01-02&oi=yes", "oi"),
        ("/history?instrument_token=408065&from=9999-12-31&to=9999-12-31", "from"),
        ("/history?instrument_token=408065&from=0001-01-01T00:00:00%2B23:00&to=2026-01-02", "from"),
        ("/history?instrument_token=408065&from=2026-01-01&to=9999-12-31T23:59:59-10:00", "to"),
    ],
)
def test_a_query_is_what_it_says(service: Service, path: str, field: str) -> None:
    """400 with the field, also at the ends of the calendar."""
    body = check_problem(service.client.get(path), 400, "VALIDATION_FAILED", about_orders=path.startswith("/orders"))
    assert places(body) == {("query", field)}


def test_no_text_holds_what_the_database_cannot_keep(service: Service) -> None:
    """A NUL in a symbol was a failure of the service."""
    for name in ("exchange", "tradingsymbol"):
        item = {"exchange": "NSE", "tradingsymbol": "INFY", name: "N\x00"}
        for path, body in (("/subscriptions", item), ("/subscriptions/bulk", {"items": [item]})):
            check_problem(service.client.post(path, json=body), 400, "VALIDATION_FAILED", about_orders=False)


def test_the_document_says_what_goes_together(service: Service) -> None:
    """Which fields exclude each other, which headers are needed, and that a query has no null."""
    document = service.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for name in ("SubscriptionIn", "SessionIn", "KillIn", "ResumeIn", "ReplayIn"):
        assert len(schemas[name]["oneOf"]) == 2, name
    for path in ("/orders/cancel", "/positions/close"):
        parameters = document["paths"][path]["post"]["parameters"]
        assert [one["required"] for one in parameters if one["name"] == "Idempotency-Key"] == [True]
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), parameter
    for path in ("/orders", "/advanced/batch-orders"):
        assert "200" in document["paths"][path]["post"]["responses"]


def test_the_switches_of_a_query_are_the_ones_of_kite_too(service: Service) -> None:
    """``true`` and ``false``, 1 and 0, and no other word."""
    for text in ("true", "1"):
        shown(service.client.post(f"/orders?dry_run={text}", json=limit_order()))
    for text in ("yes", "on", "TRUE", "t", ""):
        answer = service.client.post(f"/orders?dry_run={text}", json=limit_order())
        assert places(check_problem(answer, 400, "VALIDATION_FAILED")) == {("query", "dry_run")}


def test_a_time_is_taken_with_its_offset(service: Service) -> None:
    """In UTC and in IST."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    for text in (soon.isoformat(), soon.strftime("%Y-%m-%dT%H:%M:%SZ")):
        shown(dry_run(service, valid_until=text))


def head(service: Service, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and everything that follows them on the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", int(service.url.rpartition(":")[2]), timeout=5)
    with contextlib.closing(connection):
        connection.request("HEAD", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_head_answers_like_get(service: Service) -> None:
    """Probes ask with it; the body stays away."""
    for path in ("/health", "/health/live", "/health/ready", "/metrics", "/orders", "/orders/tasks"):
        key = {"X-API-Key": API_KEY}
        status, headers, rest = head(service, path, **key)
        assert (status, rest) == (service.client.get(path).status_code, b""), path
        assert "x-request-id" in headers
    assert head(service, "/orders")[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/subscriptions/bulk", "POST"),
        ("DELETE", "/subscriptions/status", "GET, HEAD"),
        ("PATCH", "/orders", "GET, HEAD, POST"),
        ("DELETE", "/orders", "GET, HEAD, POST"),
        ("POST", "/orders/1", "DELETE, GET, HEAD, PUT"),
        ("GET", "/orders/cancel", "POST"),
        ("PUT", "/subscriptions/408065", "DELETE"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", "/accounts/primary/session", "DELETE, POST"),
    ],
)
def test_another_method_is_405_with_all_that_the_path_allows(
    service: Service, method: str, path: str, allow: str
) -> None:
    """Not those of one of its routes, and not 400 because another path has parameters."""
    answer = service.client.request(method, path)
    check_problem(answer, 405, "METHOD_NOT_ALLOWED", about_orders=path.startswith("/orders"))
    assert answer.headers["allow"] == allow
