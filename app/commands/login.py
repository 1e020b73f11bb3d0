"""``python -m app login``: the login link, and the exchange of its ``request_token``, through the running service.

The service exchanges the token, so the new one is in force at once, and this command never has it.
"""

from __future__ import annotations

from typing import Any

import httpx

from app.api.keys import API_KEY_HEADER
from app.config import Settings
from app.errors import ServiceError, StartError

TIMEOUT_S = 15.0


async def login_url(settings: Settings, *, service_url: str, account_id: str) -> str:
    """The address of the login page. Raises StartError when the service does not answer, ServiceError as it answers."""
    answer = await _call(settings, service_url, "GET", f"/accounts/{account_id}/login-url")
    return str(answer["login_url"])


async def exchange(settings: Settings, *, service_url: str, account_id: str, request_token: str) -> str:
    """Log in, and return which user is logged in until when, as a sentence. Raises as ``login_url`` does."""
    body = {"request_token": request_token}
    answer = await _call(settings, service_url, "POST", f"/accounts/{account_id}/session", json=body)
    kept = "" if answer["persistent"] else "; not kept over a restart, because TOKEN_KEY is not set"
    return f"{account_id} is logged in as {answer['user_id']} until {answer['token_valid_until']}{kept}"


async def _call(
    settings: Settings, service_url: str, method: str, path: str, *, json: dict[str, str] | None = None
) -> dict[str, Any]:
    headers = {API_KEY_HEADER: settings.api_key.get_secret_value()}
    try:
        async with httpx.AsyncClient(base_url=service_url, timeout=TIMEOUT_S, trust_env=False) as client:
            response = await client.request(method, path, headers=headers, json=json)
            answer: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise StartError(f"the service at {service_url} does not answer as it should: {error}") from error
    if response.is_error:
        raise ServiceError(str(answer.get("detail", response.reason_phrase)), code=str(answer.get("code", "ERROR")))
    return answer
