"""Embedded Redis: durable, private, and never blocked by what a killed process left."""

import os
import re
import signal
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
