"""By what a database is told apart from a copy of it, on a real server, and the record in Redis and in a file."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from app.db.database_identity import read_generations, read_identity
from app.db.postgres import open_database
from app.db.redis import make_redis
from app.db.redis_keys import RedisKeys
from app.orders.recovery.database_record import RecordUnavailable
from app.orders.recovery.loss_signs import DatabaseRecord, Sign, sign_of
from app.orders.recovery.record_stores import FileRecord, RedisRecord
from tests.servers import temporary_database


async def record_of(url: str) -> DatabaseRecord:
    database = await open_database(url, name="test", min_size=1, max_size=1)
    try:
        async with database.connection() as connection:
            identity = await read_identity(connection)
            assert identity is not None
            return DatabaseRecord(identity=identity, generations=await read_generations(connection))
    finally:
        await database.close()


async def test_a_database_goes_on_from_itself_and_another_one_does_not(
    database_url: str, postgres_server: str, migrated_template: str
) -> None:
    """Written to in between; the other one is a clone of the same template."""
    before = await record_of(database_url)
    database = await open_database(database_url, name="test", min_size=1, max_size=1)
    async with database.connection() as connection:
        await connection.execute("INSERT INTO lease (name, owner, term, expires_at) VALUES ('a', 'b', 1, now())")
    await database.close()
    after = await record_of(database_url)
    assert sign_of(before, after) is None
    assert after.identity.wal > before.identity.wal
    assert sign_of(after, before) is Sign.WAL_BACKWARDS
    with temporary_database(postgres_server, template=migrated_template) as clone:
        assert sign_of(after, await record_of(clone)) is Sign.ANOTHER_DATABASE


async def test_a_server_that_keeps_its_identity_to_itself_is_recognised_by_the_databases_number(
    database_url: str,
) -> None:
    """Some providers take these functions away: the generations and the order book remain as signs."""
    name = f"reader_{secrets.token_hex(4)}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'reader'")
        connection.execute(f"GRANT SELECT ON lease TO {name}")
    parts = urlsplit(database_url)
    limited = parts._replace(netloc=f"{name}:reader@{parts.hostname}:{parts.port}").geturl()
    try:
        known = (await record_of(limited)).identity
        assert (known.system, known.timeline, known.wal) == ("", 0, 0)
        assert known.database == (await record_of(database_url)).identity.database
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"REVOKE ALL ON lease FROM {name}")
            connection.execute(f"DROP ROLE {name}")


async def test_a_record_is_kept_in_redis_and_in_a_file(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """None where none was written, the record itself afterwards; a store that is away proves nothing."""
    record = await record_of(database_url)
    redis = make_redis(redis_url)
    keys = RedisKeys("test:")
    stores = (RedisRecord(redis, keys=keys, deployment="SV"), FileRecord(tmp_path / "database.json"))
    for store in stores:
        assert await store.read() is None
        await store.write(record)
        assert await store.read() == record
    assert await RedisRecord(redis, keys=keys, deployment="XY").read() is None
    await redis.aclose()
    away = make_redis("redis://127.0.0.1:1")
    missing = FileRecord(tmp_path / "missing" / "database.json")
    for gone in (RedisRecord(away, keys=keys, deployment="SV"), missing):
        with pytest.raises(RecordUnavailable):
            await gone.write(record)
    with pytest.raises(RecordUnavailable):
        await RedisRecord(away, keys=keys, deployment="SV").read()
    await away.aclose()
