"""The server fixtures of all tests."""

import psycopg
import pytest
import redis

from app.db.migrate import applied_revision, head_revision
from tests.servers import temporary_database


def test_a_test_has_a_database_of_its_own_at_head(database_url: str) -> None:
    """`database_url` is migrated and empty of other tests' tables."""
    assert applied_revision(database_url) == head_revision()
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE only_here (id int)")


def test_the_tables_of_one_test_are_gone_in_the_next(database_url: str) -> None:
    """The table of the test above does not exist."""
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


def test_a_database_is_dropped_with_its_connections_open(postgres_server: str) -> None:
    """A test that leaks a connection does not block the end of its database."""
    with temporary_database(postgres_server) as url:
        leaked = psycopg.connect(url, autocommit=True)
    with pytest.raises(psycopg.OperationalError):
        leaked.execute("SELECT 1")
    leaked.close()


def test_redis_is_empty_at_the_start_of_a_test(redis_url: str) -> None:
    """`redis_url` names an empty database."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("k", "v")


def test_redis_is_empty_again_for_the_next_test(redis_url: str) -> None:
    """The key of the test above is gone."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
