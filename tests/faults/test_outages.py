"""One outage of the database after another, under load: orders go on every account at every replica after each."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.outages import Outage, outages, run_outages
from tests.faults.outage_environment import SHORT_TIMES

SECONDS = 3.0
FREEZE_S = 4.0
SETTLE_S = 40.0
AT_THREE = (
    "ticker engine cut off",
    "both pools frozen",
    "frozen before COMMIT",
    "frozen after COMMIT",
    "the server away",
)
"""What is done at three replicas too; ``make chaos ARGS=outages`` does all of it, at real length."""


def planned(replicas: int) -> list[Outage]:
    found = outages([SECONDS], freeze_s=FREEZE_S)
    return found if replicas == 1 else [one for one in found if one.name.startswith(AT_THREE)]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("replicas", [1, 3])
async def test_orders_go_again_after_every_outage(replicas: int, tmp_path: Path) -> None:
    """Within 15 s, and what was answered meanwhile is what the exchange has: checks C1 to C15."""
    history, violations = await run_outages(
        planned(replicas), tmp_path, replicas=replicas, settings=SHORT_TIMES, settle_s=SETTLE_S
    )
    assert [str(one) for one in violations] == []
    assert len(history.ledger) > 20
    assert len(history.observed.recoveries) == (len(planned(replicas)) + 1) * 2 * replicas
