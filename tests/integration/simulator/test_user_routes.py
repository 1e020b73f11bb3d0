"""Logins, sessions and refusals."""

import hashlib
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator.server import RunningSimulator

SECRET = "simsecret"
TEST_VECTOR = "bcd69288b774c0fe20cf83055d80d2963ef0f3ab58b13f3a86a03b88ba9e205d"


def login_form(request_token: str, *, secret: str = SECRET) -> dict[str, str]:
    checksum = hashlib.sha256(f"simkey{request_token}{secret}".encode()).hexdigest()
    return {"api_key": "simkey", "request_token": request_token, "checksum": checksum}


async def test_the_preset_request_token_gives_a_session_with_the_documented_checksum(client: httpx.AsyncClient) -> None:
    """It works any number of times; the answer has every field that clients read."""
    form = {"api_key": "simkey", "request_token": "simreqtoken", "checksum": TEST_VECTOR}
    for _ in range(2):
        data = (await client.post("/session/token", data=form)).json()["data"]
        assert (data["user_id"], data["access_token"], data["refresh_token"] != "") == ("SIM001", "simtoken", True)
        assert len(data["login_time"]) == 19


async def test_the_login_page_redirects_with_a_request_token_that_works_once(client: httpx.AsyncClient) -> None:
    """`redirect_params` are in the redirect; the second use is refused."""
    answer = await client.get("/connect/login", params={"v": 3, "api_key": "simkey", "redirect_params": "a=1&b=2"})
    assert answer.status_code == 302
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (query["action"], query["status"], query["a"], query["b"]) == (["login"], ["success"], ["1"], ["2"])
    [request_token] = query["request_token"]
    assert (await client.post("/session/token", data=login_form(request_token))).status_code == 200
    again = await client.post("/session/token", data=login_form(request_token))
    assert (again.status_code, again.json()["message"]) == (403, "Token is invalid or has expired.")


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({}, 400, "Missing or empty field `api_key`"),
        ({"api_key": "simkey"}, 400, "Missing or empty field `request_token`"),
        (login_form("simreqtoken", secret="wrong"), 403, "Invalid `checksum`."),
        (login_form("nosuchtoken"), 403, "Token is invalid or has expired."),
    ],
)
async def test_a_bad_login_is_refused(
    client: httpx.AsyncClient, form: dict[str, str], status: int, message: str
) -> None:
    """With the sentences that clients match on."""
    answer = await client.post("/session/token", data=form)
    assert (answer.status_code, answer.json()["message"]) == (status, message)


@pytest.mark.parametrize(
    "header", ["", "token simkey", "token simkey:wrong", "token other:simtoken", "Bearer simkey:simtoken", "token :"]
)
async def test_only_the_exact_authorization_header_is_accepted(simulator: RunningSimulator, header: str) -> None:
    """403 TokenException in the envelope."""
    async with httpx.AsyncClient(base_url=simulator.url) as stranger:
        answer = await stranger.get("/orders", headers={"Authorization": header})
    assert answer.status_code == 403
    assert answer.json() == {
        "status": "error",
        "message": "Incorrect `api_key` or `access_token`.",
        "error_type": "TokenException",
        "data": None,
    }


async def test_a_logout_ends_the_token_and_a_login_gives_another(client: httpx.AsyncClient) -> None:
    """DELETE answers true; the next login does not return the ended token."""
    answer = await client.delete("/session/token", params={"api_key": "simkey", "access_token": "simtoken"})
    assert answer.json() == {"status": "success", "data": True}
    assert (await client.get("/orders")).status_code == 403
    data = (await client.post("/session/token", data=login_form("simreqtoken"))).json()["data"]
    assert data["access_token"] != "simtoken"
    fresh = {"Authorization": f"token simkey:{data['access_token']}"}
    assert (await client.get("/orders", headers=fresh)).status_code == 200


async def test_control_expires_and_revives_a_session(client: httpx.AsyncClient) -> None:
    """As at six in the morning, and as on a new day."""
    assert (await client.post("/_sim/session", json={"user_id": "SIM001", "expired": True})).json()["tokens"] == 0
    assert (await client.get("/user/profile")).status_code == 403
    await client.post("/_sim/session", json={"user_id": "SIM001", "expired": False})
    assert (await client.get("/user/profile")).status_code == 200


async def test_each_account_has_its_own_keys_and_orders(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """SIM002 has simkey2 and simtoken2; no key works with another account's token."""
    second = {"Authorization": "token simkey2:simtoken2"}
    assert (await client.get("/user/profile", headers=second)).json()["data"]["user_id"] == "SIM002"
    assert (await client.get("/user/profile", headers={"Authorization": "token simkey:simtoken2"})).status_code == 403


async def test_a_refresh_token_that_was_never_issued_is_refused(client: httpx.AsyncClient) -> None:
    """403, also with the right checksum."""
    checksum = hashlib.sha256(b"simkeynothingsimsecret").hexdigest()
    form = {"api_key": "simkey", "refresh_token": "nothing", "checksum": checksum}
    assert (await client.post("/session/refresh_token", data=form)).status_code == 403
