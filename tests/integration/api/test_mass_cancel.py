"""POST /orders/cancel over HTTP."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.integration.api.test_orders import LIMIT
from tests.integration.conftest import RunningService


async def test_a_mass_cancel_answers_with_a_result_for_each_order(service: RunningService) -> None:
    """201, the results, and Location leads to the same."""
    tag = f"t{uuid4().hex[:12]}"
    resting = {**LIMIT, "order_type": "LIMIT", "price": 1400, "tag": tag}
    placed = (await service.client.post("/orders", json=resting)).json()
    headers = {"Idempotency-Key": f"key-{uuid4().hex}"}
    answer = await service.client.post("/orders/cancel", json={"tag": tag}, headers=headers)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert (found["status"], found["total"], found["cancelled"]) == ("completed", 1, 1)
    assert found["results"][0]["order_id"] == placed["order_id"]
    assert (await service.client.get(answer.headers["Location"])).json() == found
    again = await service.client.post("/orders/cancel", json={"tag": tag}, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("body", [{"colour": "red"}, {"older_than_s": -1}, {"exchange": "NYSE"}, {"tag": "not ok!"}])
async def test_a_bad_filter_is_refused_and_cancels_nothing(service: RunningService, body: dict[str, object]) -> None:
    """A misspelt field must not widen the filter to everything."""
    headers = {"Idempotency-Key": f"key-{uuid4().hex}"}
    answer = await service.client.post("/orders/cancel", json=body, headers=headers)
    assert answer.status_code == 400


async def test_a_key_is_required_and_an_unknown_id_is_404(service: RunningService) -> None:
    """In development too."""
    answer = await service.client.post("/orders/cancel", json={"tag": "none"})
    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert (await service.client.get(f"/orders/cancel/{uuid4()}")).status_code == 404
