"""When may traffic be sent to a replica? Its own matters alone count."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from app.errors import Unavailable
from app.kit.probe import Probe
from app.ops.readiness import ReadinessCheck


@dataclass
class SetClock:
    """Monotonic seconds as the test sets them."""

    seconds: float = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 3, 2, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class SomePool:
    failing_since: float | None = None


@dataclass
class Schema:
    """What a read of the revision finds; None: the database is away."""

    revision: str | None = "0042"

    async def read(self) -> str | None:
        if self.revision is None:
            raise Unavailable("the database is away", code="DATABASE_UNAVAILABLE")
        return self.revision


def _check(schema: Schema, *pools: SomePool, clock: SetClock | None = None) -> ReadinessCheck:
    probe = Probe(schema.read, timeout_s=1.0)
    return ReadinessCheck(wanted="0042", revision=probe, pools=pools, clock=clock or SetClock())


async def test_a_replica_that_works_is_ready() -> None:
    """The schema is its own, and its pools work."""
    assert (await _check(Schema(), SomePool(), SomePool()).check()).ready


@pytest.mark.parametrize("which", [0, 1])
async def test_a_pool_that_is_dead_for_half_a_minute_takes_the_replica_out(which: int) -> None:
    """Either of the two; another replica may reach the database still. Until then this one is needed."""
    clock, schema = SetClock(), Schema(revision=None)
    pools = [SomePool(), SomePool()]
    pools[which].failing_since = clock.seconds
    check = _check(schema, *pools, clock=clock)
    clock.seconds += 30.0
    assert (await check.check()).ready
    clock.seconds += 0.1
    assert not (await check.check()).ready
    pools[which].failing_since = None
    assert (await check.check()).ready


async def test_another_schema_takes_the_replica_out_at_once() -> None:
    """Also while the database is away afterwards, until a read finds the right one."""
    schema = Schema(revision="0043")
    check = _check(schema)
    assert (await check.check()).reasons == ("the database schema is not at this version: python -m app migrate",)
    schema.revision = None
    assert not (await check.check()).ready
    schema.revision = "0042"
    assert (await check.check()).ready


async def test_a_replica_that_stops_is_not_ready() -> None:
    """Whatever else holds."""
    check = _check(Schema())
    check.begin_draining()
    assert (await check.check()).reasons == ("the service is stopping",)
