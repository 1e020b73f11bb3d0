"""Row 26: the broker takes no orders from where we are."""

from __future__ import annotations

import pytest

from app.orders.risk.halt_store import find_halt, lift_halt
from app.orders.state.model import TaskStatus
from tests.order_environment import ACCOUNT, OrderEnvironment
from tests.order_waits import end_of, reaches

MESSAGE = "IP (203.0.113.7) is not allowed to place orders for this app. Update allowed IPs on the Kite console."


@pytest.mark.parametrize("error_type", ["PermissionException", "GeneralException", "InputException"])
async def test_row_26_a_refused_address_halts_the_account_and_is_tried_once(
    environment: OrderEnvironment, error_type: str
) -> None:
    """Failed with the broker's words, nothing tried again, what follows is held; after a resume it goes if fresh."""
    await environment.fault("status", times=-1, params={"code": 403, "error_type": error_type, "message": MESSAGE})
    refused = await environment.place()
    assert (refused["status"], refused["attempts"]) == ("failed", 1)
    assert refused["last_error"]["broker"]["message"] == MESSAGE
    waiting = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.HELD)
    assert (waiting["sent"], waiting["last_error"]["code"]) == ("no", "HALTED")
    assert await environment.ledger() == []
    async with environment.database.transaction() as tx:
        halt = await find_halt(tx, scope=ACCOUNT)
        assert halt is not None
        assert (halt.mode, halt.set_by, MESSAGE in halt.reason) == ("halt", "service", True)
        cursor = await tx.execute("SELECT kind, data ->> 'message' FROM order_alarm")
        assert await cursor.fetchall() == [("address_refused", MESSAGE)]
        cursor = await tx.execute("SELECT action, subject, principal FROM admin_audit")
        assert await cursor.fetchall() == [("kill", ACCOUNT, "service")]
        cursor = await tx.execute("SELECT count(*) FROM order_attempt")
        assert await cursor.fetchone() == (1,)
        await environment.sim.delete("/_sim/faults")
        await lift_halt(tx, scope=ACCOUNT)
    assert (await end_of(environment, waiting))["status"] == "completed"
