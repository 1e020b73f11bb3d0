"""A wrong request is refused at once, the answer names what is wrong, and nothing changes."""

import json
from typing import Any

import httpx
import pytest

from tests.e2e.environment import API_KEY, Broker, Service, authenticate, close_of, limit_order

PROBLEM = "application/problem+json"
PROBLEM_FIELDS = {"type", "title", "status", "detail", "code", "request_id"}


def counts(service: Service, broker: Broker) -> tuple[int, int, int]:
    """Numbers that a refused request must not change: tasks, batches, orders at the exchange."""
    tasks = service.client.get("/orders/tasks", params={"limit": 500}).json()["data"]
    batches = service.client.get("/advanced/batch-orders", params={"limit": 500}).json()["data"]
    return len(tasks), len(batches), len(broker.ledger())


def check_problem(answer: httpx.Response, status: int, code: str, *, about_orders: bool = True) -> dict[str, Any]:
    """The shape of every error; one about orders also says that nothing was sent."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert body.keys() >= PROBLEM_FIELDS
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"] != ""
    if about_orders:
        assert (body["sent"], body["retryable"]) == ("no", "no")
    return body


def places(body: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {tuple(error["loc"]) for error in body["errors"]}


def test_every_problem_of_every_order_at_once(service: Service, broker: Broker) -> None:
    """One answer names all that is wrong in a batch, by its place; nothing is stored, nothing is sent."""
    before = counts(service, broker)
    orders = [
        limit_order(),
        limit_order(price=None),
        limit_order(order_type="MARKET", price=1400, colour="red"),
        limit_order(quantity=0),
        limit_order(order_type="SL", trigger_price=None),
    ]
    body = check_problem(
        service.client.post("/advanced/batch-orders", json={"orders": orders}), 400, "VALIDATION_FAILED"
    )
    found = places(body)
    for index, name in ((1, "price"), (2, "colour"), (3, "quantity"), (4, "trigger_price")):
        assert ("body", "orders", index, name) in found, body["errors"]
    assert not [place for place in found if place[2] == 0]
    assert all(error["msg"] for error in body["errors"])
    assert counts(service, broker) == before


def test_every_problem_with_the_instruments_at_once(service: Service, broker: Broker) -> None:
    """The problems that need today's instruments, of every order: unknown symbols, and prices between two ticks."""
    before = counts(service, broker)
    orders = [
        limit_order(),
        limit_order(tradingsymbol="NOSUCHTHING"),
        limit_order(price=1400.03),
        limit_order(exchange="NFO"),
    ]
    body = check_problem(
        service.client.post("/advanced/batch-orders", json={"orders": orders}), 400, "VALIDATION_FAILED"
    )
    expected = {("body", "orders", 1, "tradingsymbol"), ("body", "orders", 2, "price")}
    assert places(body) == expected | {("body", "orders", 3, "tradingsymbol")}
    assert counts(service, broker) == before


def test_a_body_without_an_order_is_refused_field_by_field(service: Service, broker: Broker) -> None:
    """Wrong types, unknown values and unknown fields: one entry each, in the same answer."""
    before = counts(service, broker)
    wrong = limit_order(exchange="NYSE", transaction_type="HOLD", quantity="many", colour="red", validity=None)
    body = check_problem(service.client.post("/orders", json=wrong), 400, "VALIDATION_FAILED")
    assert places(body) >= {("body", name) for name in ("exchange", "transaction_type", "quantity", "colour")}
    missing = check_problem(service.client.post("/orders", json={}), 400, "VALIDATION_FAILED")
    assert places(missing) >= {
        ("body", name)
        for name in ("exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type")
    }
    assert counts(service, broker) == before


@pytest.mark.parametrize("count", [0, 21])
def test_a_batch_has_one_to_twenty_orders(service: Service, broker: Broker, count: int) -> None:
    """The bound is named."""
    answer = service.client.post("/advanced/batch-orders", json={"orders": [limit_order()] * count})
    body = check_problem(answer, 400, "VALIDATION_FAILED")
    assert places(body) == {("body", "orders")}


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-1", "1e400", "1400.0000001", 1e16, True])
def test_a_price_that_is_none(service: Service, broker: Broker, price: Any) -> None:
    """No number that is not a price reaches the broker."""
    before = counts(service, broker)
    body = check_problem(service.client.post("/orders", json=limit_order(price=price)), 400, "VALIDATION_FAILED")
    assert ("body", "price") in places(body)
    assert counts(service, broker) == before


@pytest.mark.parametrize("content", ["{", '{"a": }', "[]", '"text"', "", "\x00", b"\xff{", "[" * 5000])
def test_a_body_that_is_no_json_object(service: Service, content: str | bytes) -> None:
    """400 with the place of the fault; nothing of a traceback."""
    answer = service.client.post("/orders", content=content, headers={"Content-Type": "application/json"})
    body = check_problem(answer, 400, "VALIDATION_FAILED")
    assert body["errors"][0]["loc"][0] == "body"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large(service: Service, chunked: bool) -> None:
    """413, whether its length is announced or not."""
    big = json.dumps({"orders": [], "x": "y" * 300_000}).encode()
    content: Any = iter([big[:100_000], big[100_000:]]) if chunked else big
    answer = service.client.post(
        "/advanced/batch-orders", content=content, headers={"Content-Type": "application/json"}
    )
    check_problem(answer, 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("key", [None, "", "wrong", API_KEY + "x", API_KEY[:-1]])
def test_a_wrong_key(service: Service, broker: Broker, key: str | None) -> None:
    """401 and how to ask, before anything of the body is looked at."""
    before = counts(service, broker)
    headers = {} if key is None else {"X-API-Key": key}
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        answer = client.post("/orders", json={"nonsense": 1}, headers=headers)
    check_problem(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "ApiKey"
    assert counts(service, broker) == before


def test_a_key_used_for_another_request(service: Service, broker: Broker) -> None:
    """422 names the conflict, between one order and a batch too."""
    headers = {"Idempotency-Key": "bad-requests-0001"}
    assert service.client.post("/orders", json=limit_order(), headers=headers).status_code == 201
    before = counts(service, broker)
    other = service.client.post("/orders", json=limit_order(quantity=11), headers=headers)
    check_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    batch = service.client.post("/advanced/batch-orders", json={"orders": [limit_order()]}, headers=headers)
    check_problem(batch, 422, "IDEMPOTENCY_KEY_REUSED")
    short = service.client.post("/orders", json=limit_order(), headers={"Idempotency-Key": "short"})
    assert places(check_problem(short, 400, "VALIDATION_FAILED")) == {("header", "Idempotency-Key")}
    assert counts(service, broker) == before


def test_an_unknown_resource_is_404(service: Service) -> None:
    """404 names what was looked for; 405 what is allowed."""
    unknown = "0199f0c2-3f0a-7c11-9d3a-6f1f0a5f2b7e"
    for path in (f"/orders/tasks/{unknown}", f"/advanced/batch-orders/{unknown}", "/orders/999"):
        body = check_problem(service.client.get(path), 404, "NOT_FOUND")
        assert path.rpartition("/")[2] in body["detail"]
    check_problem(service.client.delete("/orders/999"), 404, "NOT_FOUND")
    check_problem(service.client.post("/orders", json=limit_order(account_id="unknown")), 404, "NOT_FOUND")
    check_problem(service.client.get("/orders/tasks/no-uuid"), 400, "VALIDATION_FAILED")
    check_problem(service.client.get("/nowhere"), 404, "NOT_FOUND", about_orders=False)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/orders?limit=0", ("query", "limit")),
        ("/orders?limit=many", ("query", "limit")),
        ("/orders/tasks?status=unknown", ("query", "status")),
        ("/orders/tasks?cursor=zzz", ("query", "cursor")),
        ("/events?account_id=primary&after=x", ("query", "after")),
        ("/history?instrument_token=408065&from=yesterday&to=2026-01-01", ("query", "from")),
        ("/history?instrument_token=408065&from=2026-01-02&to=2026-01-01", ("query", "to")),
        ("/history?instrument_token=408065&from=2026-01-01&to=2026-01-02&interval=2hours", ("query", "interval")),
        ("/quotes", ("query", "i")),
        ("/instruments?strike_min=a", ("query", "strike_min")),
        ("/subscriptions?status=odd", ("query", "status")),
    ],
)
def test_a_bad_query(service: Service, path: str, place: tuple[str, ...]) -> None:
    """400 names the parameter."""
    answer = service.client.get(path)
    body = check_problem(answer, 400, "VALIDATION_FAILED", about_orders=path.startswith("/orders"))
    assert place in places(body), body["errors"]


def test_a_dry_run_shows_and_stores_nothing(service: Service, broker: Broker) -> None:
    """The exact request that the broker would get."""
    before = counts(service, broker)
    answer = service.client.post("/orders", params={"dry_run": "true"}, json=limit_order(tag="mine"))
    assert answer.status_code == 200
    request = answer.json()["requests"][0]
    assert (request["method"], request["path"]) == ("POST", "/orders/regular")
    assert request["form"]["price"] == "1400"
    assert len(request["form"]["tag"]) == 20
    assert counts(service, broker) == before


@pytest.mark.parametrize("path", ["/advanced/ws/orders/primary", "/ws/ticks"])
@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("not json", "bad_message"),
        ("{}", "bad_message"),
        ('{"type": "auth"}', "bad_message"),
        ('{"type": "auth", "api_key": "wrong"}', "unauthorized"),
        ('{"type": "auth", "api_key": "x", "more": 1}', "bad_message"),
        ('{"type": "hello", "api_key": "e2e-test-key"}', "bad_message"),
        (b"\x00\x01", "bad_message"),
        ('{"type": "auth", "api_key": "' + "x" * 5000 + '"}', "bad_message"),
    ],
)
def test_a_malformed_first_message(service: Service, path: str, first: str | bytes, reason: str) -> None:
    """1008 with the reason: repeating the message would change nothing."""
    with service.stream(path) as stream:
        stream.send(first)
        assert close_of(stream) == (1008, reason)


def test_a_stream_of_an_unknown_account(service: Service) -> None:
    """1008 `forbidden_account`, whether the account exists or not."""
    with service.stream("/advanced/ws/orders/unknown") as stream:
        stream.send(json.dumps({"type": "auth", "api_key": API_KEY}))
        assert close_of(stream) == (1008, "forbidden_account")


@pytest.mark.parametrize("message", ["hello", '{"type": "auth"}', b"\xff"])
def test_a_malformed_later_message(service: Service, message: str | bytes) -> None:
    """After the handshake the order stream takes `ping` and nothing else."""
    with service.stream() as stream:
        assert authenticate(stream)["type"] == "authenticated"
        stream.send("ping")
        assert [stream.recv(timeout=5) for _ in range(2)][-1] == "pong"
        stream.send(message)
        assert close_of(stream) == (1008, "bad_message")


@pytest.mark.parametrize(
    "command",
    [
        "nonsense",
        '{"action": "sell", "tokens": [408065]}',
        '{"action": "subscribe", "tokens": []}',
        '{"action": "subscribe", "tokens": ["NSE:INFY"]}',
        '{"action": "subscribe", "tokens": [408065], "mode": "deep"}',
    ],
)
def test_a_malformed_tick_command(service: Service, command: str) -> None:
    """1008 `bad_message`."""
    with service.stream("/ws/ticks") as stream:
        authenticate(stream)
        stream.send(command)
        assert close_of(stream) == (1008, "bad_message")
