"""Embedded Redis: durable, private, and never blocked by what a killed process left."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
import redis

from embedded.errors import EmbeddedError, StartFailed
from embedded.redis import check_redis, find_binary, read_version, running_redis, start_redis


def test_data_survives_a_stop_a_crash_and_a_left_over_server(tmp_path: Path) -> None:
    """One data directory, whose path has a space and a quote, which must be quoted in redis.conf."""
    directory = tmp_path / 'a "spaced" path' / "redis"
    with running_redis(directory) as server:
        _push(server.url, "stopped")

    killed = start_redis(directory)
    _push(killed.url, "killed")
    os.kill(killed.child.pid, signal.SIGKILL)
    assert killed.child.wait(5) == -signal.SIGKILL

    left_over = start_redis(directory)
    _push(left_over.url, "left over")

    with running_redis(directory) as server, redis.Redis.from_url(server.url, decode_responses=True) as client:
        assert left_over.child.wait(1) is not None, "two servers on one file"
        assert client.lrange("kept", 0, -1) == ["stopped", "killed", "left over"]


def _push(url: str, value: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.rpush("kept", value)


def test_a_connection_needs_the_password(redis_server: str) -> None:
    """The port alone does not let another program connect."""
    url = re.sub(r"://:[^@]*@", "://:wrong@", redis_server)
    with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_unreadable_data_says_why(tmp_path: Path) -> None:
    """The error has the end of the server's log."""
    files = tmp_path / "redis" / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.manifest").write_text("no manifest\n")
    with pytest.raises(StartFailed, match="Redis did not start: exited with code 1") as failure:
        start_redis(tmp_path / "redis")
    assert "manifest" in failure.value.log_tail


def test_a_server_out_of_reach_is_one_line_without_the_password() -> None:
    """`REDIS_URL` names a port without a server."""
    with pytest.raises(EmbeddedError, match="REDIS_URL cannot be reached") as failure:
        check_redis("redis://:hush@127.0.0.1:1/0")
    assert "hush" not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_server_on_the_path_changes_nothing(tmp_path: Path) -> None:
    """One that is installed later could not read what the package's has written."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho Redis server v=7.0.15 sha=0 malloc=libc bits=64\n")
    program.chmod(0o755)
    assert find_binary(str(tmp_path)) == find_binary() != program


def test_data_of_a_newer_server_is_put_aside(tmp_path: Path) -> None:
    """Redis holds nothing that must survive; the old file is kept under another name."""
    directory = tmp_path / "redis"
    with running_redis(directory) as server, redis.Redis.from_url(server.url) as client:
        client.set("old", "1")
        client.bgrewriteaof()
        base = until_rewritten(directory / "appendonlydir", client)
    data = base.read_bytes()
    assert data.startswith(b"REDIS00")
    base.write_bytes(b"REDIS0099" + data[9:])
    with running_redis(directory) as server, redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 0
    assert (directory / "appendonlydir.of-a-newer-server" / base.name).exists()


def until_rewritten(files: Path, client: redis.Redis) -> Path:
    """The base file of the append-only log, once no rewrite is under way."""
    deadline = time.monotonic() + 20
    while client.info("persistence")["aof_rewrite_in_progress"] or not list(files.glob("*.base.rdb")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (base,) = files.glob("*.base.rdb")
    return base


def test_an_old_server_on_the_path_is_not_used(tmp_path: Path) -> None:
    """The printed version decides; a program without one counts as old."""
    for name, version in (("new", "7.0.15"), ("old", "5.0.7")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho Redis server v={version} sha=0 malloc=libc bits=64\n")
        program.chmod(0o755)
    assert read_version(tmp_path / "new") == (7, 0)
    assert read_version(tmp_path / "old") == (5, 0)
    assert read_version(tmp_path / "absent") == ()
    assert read_version(find_binary()) >= (6, 2)
