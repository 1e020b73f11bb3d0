"""What proves that a database has forgotten something, and what a record of it survives."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.database_identity import DatabaseIdentity
from app.orders.recovery.account_recovery import is_proven
from app.orders.recovery.database_record import RecordUnavailable, decode_record, encode_record
from app.orders.recovery.loss_signs import DatabaseRecord, Sign, newest, sign_of
from app.orders.recovery.recovery_store import Recovery
from app.orders.state.engine_settings import CLEAN_READS_NEEDED
from tests.unit.orders.builders import NOW

IDENTITY = DatabaseIdentity(system="7000000000000000000", database=16384, timeline=1, wal=1000)
BEFORE = DatabaseRecord(identity=IDENTITY, generations={"sender:primary": 7, "feed:primary": 3})


@pytest.mark.parametrize(
    ("now", "sign"),
    [
        (BEFORE, None),
        (replace(BEFORE, identity=replace(IDENTITY, wal=2000)), None),
        (replace(BEFORE, generations={"sender:primary": 8, "feed:primary": 3, "sender:second": 1}), None),
        (replace(BEFORE, identity=replace(IDENTITY, system="8")), Sign.ANOTHER_SYSTEM),
        (replace(BEFORE, identity=replace(IDENTITY, timeline=2, wal=2000)), Sign.ANOTHER_TIMELINE),
        (replace(BEFORE, identity=replace(IDENTITY, wal=999)), Sign.WAL_BACKWARDS),
        (replace(BEFORE, identity=replace(IDENTITY, database=16385)), Sign.ANOTHER_DATABASE),
        (replace(BEFORE, generations={"sender:primary": 6, "feed:primary": 9}), Sign.GENERATION_BACKWARDS),
        (replace(BEFORE, generations={"feed:primary": 3}), Sign.GENERATION_BACKWARDS),
        (replace(BEFORE, generations={}), Sign.GENERATION_BACKWARDS),
    ],
)
def test_each_step_back_is_a_sign(now: DatabaseRecord, sign: Sign | None) -> None:
    """A database that only went on shows none, also with leases that were unknown before."""
    assert sign_of(BEFORE, now) is sign


generations = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 5))
identities = st.builds(
    DatabaseIdentity,
    system=st.sampled_from(["1", "2"]),
    database=st.integers(1, 2),
    timeline=st.integers(1, 2),
    wal=st.integers(0, 5),
)
records = st.builds(DatabaseRecord, identity=identities, generations=generations)


@given(record=records, other=records)
def test_what_two_places_remember_is_as_strict_as_each_of_them(record: DatabaseRecord, other: DatabaseRecord) -> None:
    """For one database: whatever goes on from both together goes on from each, and the other way round."""
    other = replace(other, identity=replace(record.identity, wal=other.identity.wal))
    both = newest(record, other)
    for one in (record, other):
        assert sign_of(one, both) is None
    highest = replace(both.identity, wal=max(record.identity.wal, other.identity.wal))
    assert both.identity == highest


@given(record=records)
def test_a_record_survives_its_store(record: DatabaseRecord) -> None:
    assert decode_record(encode_record(record)) == record


def test_a_damaged_record_proves_nothing() -> None:
    """It is neither a record nor the proof that there was none."""
    for data in (b"", b"{}", b"\xff", b'{"identity": {"system": 1}}'):
        with pytest.raises(RecordUnavailable):
            decode_record(data)


WINDOW = timedelta(seconds=120)
RECOVERY = Recovery(
    account_id="primary",
    sign="",
    began_at=NOW,
    quiet_from=NOW + timedelta(seconds=10),
    clean_reads=CLEAN_READS_NEEDED - 1,
    ended_at=None,
    dismissed=[],
)


def test_the_proof_needs_the_reads_and_the_window() -> None:
    """The fifth clean read, and the whole window after the last moment at which an older owner could have sent."""
    enough = RECOVERY.quiet_from + WINDOW
    assert is_proven(RECOVERY, began_at=enough, window=WINDOW)
    assert not is_proven(RECOVERY, began_at=enough - timedelta(microseconds=1), window=WINDOW)
    assert not is_proven(replace(RECOVERY, clean_reads=CLEAN_READS_NEEDED - 2), began_at=enough, window=WINDOW)
