"""Every request, whatever its route: keys, limits, request ids, headers, problems, and the open paths."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from loguru import logger
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.config import Settings
from tests.integration.conftest import API_KEY, RunningService, running_service
from tests.waiting import until

PROBLEM = "application/problem+json"


async def test_health_proves_every_part(service: RunningService) -> None:
    """The health answer has the state of feed, dependencies and orders."""

    async def is_ok() -> bool:
        return bool((await service.anonymous.get("/health")).json()["status"] == "ok")

    await until(is_ok)
    answer = await service.anonymous.get("/health")
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "ok"
    assert body["dependencies"]["redis"] == body["dependencies"]["database"] == "ok"
    assert body["dependencies"]["instrument_registry"]["cached_instruments"] >= 3000
    assert body["dependencies"]["instrument_registry"]["last_refresh"].endswith("+05:30")
    accounts = body["orders"].pop("accounts")
    assert body["orders"] == {"in_doubt": 0, "oldest_in_doubt_s": None, "halted": False}
    assert [(one["account_id"], one["can_trade"], one["reasons"]) for one in accounts] == [("primary", True, [])]
    assert set(body["ticker"]["accounts"][0]) == {
        "account_id",
        "role",
        "connected",
        "sockets",
        "subscriptions",
        "last_tick_age_ms",
        "token_valid_until",
    }


@pytest.mark.parametrize("path", ["/accounts", "/orders", "/no/such/path", "/portfolio/holdings", "/subscriptions"])
async def test_without_the_key_everything_is_closed(service: RunningService, path: str) -> None:
    """401 as a problem, for a missing and for a wrong key, on paths that exist and on paths that do not."""
    for headers in ({}, {"X-API-Key": "wrong"}):
        answer = await service.anonymous.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == PROBLEM
        assert answer.json()["code"] == "UNAUTHORIZED"


async def test_probes_and_metrics_need_no_key(service: RunningService) -> None:
    """A platform cannot keep secrets for its probes."""
    for path in ("/health", "/health/live", "/health/ready", "/metrics"):
        assert (await service.anonymous.get(path)).status_code == 200


async def test_unknown_paths_and_methods_are_problems(service: RunningService) -> None:
    """FastAPI's ``detail`` object never leaks."""
    missing = await service.client.get("/no/such/path")
    method = await service.client.delete("/accounts")
    assert (missing.status_code, missing.json()["code"]) == (404, "NOT_FOUND")
    assert (method.status_code, method.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert method.headers["allow"] == "GET, HEAD"
    for answer in (missing, method):
        assert answer.headers["content-type"] == PROBLEM
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_validation_is_400_with_one_entry_per_field(service: RunningService) -> None:
    """All that is wrong at once, with its place, and without the values that were sent."""
    answer = await service.client.post(
        "/accounts/primary/session", json={"access_token": 7, "colour": "secret-value", "request_token": ""}
    )
    body = answer.json()
    assert answer.status_code == 400
    assert body["code"] == "VALIDATION_FAILED"
    assert {tuple(entry["loc"]) for entry in body["errors"]} == {
        ("body", "access_token"),
        ("body", "colour"),
        ("body", "request_token"),
    }
    assert "secret-value" not in answer.text


async def test_a_body_that_is_no_json_is_named_as_such(service: RunningService) -> None:
    """Not a puzzle about missing fields."""
    answer = await service.client.post(
        "/accounts/primary/session", content=b'{"access_token":', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert "not valid JSON" in answer.json()["errors"][0]["msg"]


async def test_request_ids_are_echoed_or_made(service: RunningService) -> None:
    """A good one is kept, anything else is replaced."""
    kept = await service.client.get("/accounts", headers={"X-Request-Id": "my-id_1.2"})
    assert kept.headers["x-request-id"] == "my-id_1.2"
    for bad in ("", "x" * 65, "with space", "semi;colon"):
        made = await service.client.get("/accounts", headers={"X-Request-Id": bad})
        assert len(made.headers["x-request-id"]) == 36
        assert made.headers["x-request-id"] != bad


async def test_security_headers_are_on_every_answer(service: RunningService) -> None:
    """Good answers, refusals and probes alike; no header names the server."""
    for answer in (
        await service.client.get("/accounts"),
        await service.anonymous.get("/accounts"),
        await service.anonymous.get("/health"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


async def test_a_body_beyond_the_bound_is_413(service: RunningService) -> None:
    """Declared or chunked, and the connection stays usable for the next client."""
    big = b'{"access_token": "' + b"x" * 300_000 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 10_000):
            yield big[start : start + 10_000]

    declared = await service.client.post("/accounts/primary/session", content=big)
    chunked = await service.client.post(
        "/accounts/primary/session", content=chunks(), headers={"Content-Type": "application/json"}
    )
    for answer in (declared, chunked):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == PROBLEM
        assert answer.json()["code"] == "BODY_TOO_LARGE"
    assert (await service.client.get("/accounts")).status_code == 200


async def test_metrics_have_route_templates_and_no_paths(service: RunningService) -> None:
    """One label for each route, however many accounts are requested."""
    for name in ("primary", "unknown", "nowhere"):
        await service.client.get(f"/accounts/{name}")
    await service.client.get("/random/404")
    text = (await service.anonymous.get("/metrics")).text
    assert 'http_requests_total{method="GET",route="/accounts/{account_id}",status="404"} 2.0' in text
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert "nowhere" not in text
    for name in ("ticker_feed_connected", "ticker_event_loop_lag_seconds", "ticker_orders_in_doubt"):
        assert name in text


async def test_the_default_class_is_limited_per_key(settings: Settings) -> None:
    """What goes beyond is answered 429 with ``Retry-After``; the probes go on."""
    async with running_service(settings.model_copy(update={"limit_default": "10/minute"})) as service:
        answers = [await service.client.get("/accounts") for _ in range(12)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
        assert answers[-1].json()["code"] == "RATE_LIMITED"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 6
        assert (await service.anonymous.get("/health")).status_code == 200
        assert "ticker_rate_limit_hits_total 2.0" in (await service.anonymous.get("/metrics")).text


async def test_addresses_are_limited_without_a_valid_key(settings: Settings) -> None:
    """Requests with wrong keys count against the address, and a valid key is not refused for them; nor is a probe."""
    async with running_service(settings.model_copy(update={"limit_address": "10/minute"})) as service:
        answers = [await service.anonymous.get("/accounts", headers={"X-API-Key": str(n)}) for n in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]
        assert (await service.anonymous.get("/metrics")).status_code == 429
        assert (await service.client.get("/accounts")).status_code == 200
        for path in ("/health", "/health/live", "/health/ready"):
            assert {(await service.anonymous.get(path)).status_code for _ in range(20)} == {200}
        async with connect(f"{service.ws_url}/ws/ticks", proxy=None) as stream:
            await stream.send(json.dumps({"type": "auth", "api_key": API_KEY}))
            assert json.loads(await stream.recv())["type"] == "authenticated"


@pytest.mark.parametrize("path", ["/postback/primary", "/orders", "/subscriptions/bulk", "/accounts/primary/session"])
async def test_an_upload_that_is_broken_off_is_no_failure(service: RunningService, path: str) -> None:
    """499 in the metrics for each reader of the body, and no line in the log: a client without a key could fill it."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="INFO")
    _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {API_KEY}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
    await writer.drain()
    await asyncio.sleep(0.05)  # the route reads the body by now; without this it may not have begun, which is no matter
    writer.close()
    await writer.wait_closed()

    async def is_counted() -> bool:
        counts = (await service.anonymous.get("/metrics")).text.splitlines()
        found = [line for line in counts if line.startswith("http_requests_total{") and 'method="POST"' in line]
        assert not [line for line in found if 'status="4' in line and 'status="499"' not in line], found
        return any('status="499"' in line for line in found)

    await until(is_counted)
    logger.remove(sink)
    assert not [line for line in lines if "Traceback" in line or path in line]


FOREIGN = ("evil.example", "evil.example:8080", "localhost.evil.example", "")


async def test_pages_of_foreign_names_are_refused(settings: Settings) -> None:
    """What DNS rebinding sends, with authentication off too; addresses, localhost and probes are answered."""
    open_to_all = settings.model_copy(update={"api_key_enabled": False})
    order = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1}
    async with running_service(open_to_all) as service:
        for host in FOREIGN:
            for path in ("/accounts", "/metrics", "/docs"):
                answer = await service.anonymous.get(path, headers={"Host": host})
                assert (answer.status_code, answer.json()["code"]) == (403, "HOST_NOT_TRUSTED"), host
            answer = await service.anonymous.post("/orders", json=order, headers={"Host": host})
            assert (answer.status_code, answer.json()["code"]) == (403, "HOST_NOT_TRUSTED")
            assert (await service.anonymous.get("/health/live", headers={"Host": host})).status_code == 200
        for host in ("localhost:1234", "LOCALHOST", "10.0.0.7:8080", "[::1]:8080"):
            assert (await service.anonymous.get("/accounts", headers={"Host": host})).status_code == 200


async def test_writes_and_sockets_of_foreign_pages_are_refused(service: RunningService) -> None:
    """A form or a script of another site sends its ``Origin``; pages of this service and programs may write."""
    own = service.url
    path = "/admin/instrument-refresh"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", own + ".evil.example"):
        answer = await service.client.post(path, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_NOT_TRUSTED"), origin
        assert (await service.client.get("/accounts", headers={"Origin": origin})).status_code == 200
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{service.ws_url}/ws/ticks", proxy=None, additional_headers={"Origin": origin})
        assert refused.value.response.status_code == 403
    assert (await service.client.post(path, headers={"Origin": own})).status_code == 200
    async with connect(f"{service.ws_url}/ws/ticks", proxy=None, additional_headers={"Origin": own}):
        pass


async def test_listed_names_are_trusted(settings: Settings) -> None:
    """Behind a proxy that keeps the name, and for a page that an operator has somewhere else."""
    names = {"trusted_hosts": "api.example, *.internal", "trusted_origins": "https://console.example"}
    async with running_service(settings.model_copy(update=names)) as service:
        for host, status in (("api.example", 200), ("a.b.internal", 200), ("internal", 403), ("other.example", 403)):
            assert (await service.client.get("/accounts", headers={"Host": host})).status_code == status, host
        path = "/accounts/nowhere/session"
        for origin, status in (("https://console.example", 404), ("http://console.example", 403)):
            assert (await service.client.delete(path, headers={"Origin": origin})).status_code == status


async def test_the_docs_are_readable_and_their_document_is_ours(service: RunningService) -> None:
    """No FastAPI error shapes, the key is declared, validation is documented as 400."""
    assert (await service.anonymous.get("/docs")).status_code == 200
    document = (await service.anonymous.get("/openapi.json")).json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    operation = document["paths"]["/accounts/{account_id}/session"]["post"]
    assert operation["security"] == [{"ApiKey": []}]
    assert "400" in operation["responses"]
    assert "security" not in document["paths"]["/health"]["get"]


async def test_an_unexpected_error_is_a_problem_without_its_inside(service: RunningService) -> None:
    """A bug is answered as a problem without its details."""
    brokers = service.services.brokers
    assert isinstance(brokers, dict)
    brokers.pop("primary")
    answer = await service.client.get("/portfolio/holdings")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["code"] == "INTERNAL_ERROR"
    assert "KeyError" not in answer.text


async def test_many_requests_share_one_connection(service: RunningService) -> None:
    """Keep-alive survives refusals."""
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
        for _ in range(3):
            assert (await client.get("/accounts")).status_code == 401
