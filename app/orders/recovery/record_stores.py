"""The record of the database in Redis and in a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.db.redis_keys import RedisKeys
from app.orders.recovery.database_record import RecordUnavailable, decode_record, encode_record
from app.orders.recovery.loss_signs import DatabaseRecord

REDIS_TIMEOUT_S = 1.0


class RedisRecord:
    """In Redis, for every replica, under the deployment's code."""

    def __init__(self, redis: Redis, *, keys: RedisKeys, deployment: str) -> None:
        self._redis = redis
        self._key = keys.database_record(deployment)

    async def read(self) -> DatabaseRecord | None:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                data = await self._redis.get(self._key)
        except (RedisError, OSError, TimeoutError) as error:
            raise RecordUnavailable("Redis is away") from error
        if data is None:
            return None
        return decode_record(data.encode() if isinstance(data, str) else data)

    async def write(self, record: DatabaseRecord) -> None:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                await self._redis.set(self._key, encode_record(record))
        except (RedisError, OSError, TimeoutError) as error:
            raise RecordUnavailable("Redis is away") from error


class FileRecord:
    """In a file outside of the database's directory, for the processes of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> DatabaseRecord | None:
        try:
            data = await asyncio.to_thread(self._path.read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordUnavailable(f"{self._path} cannot be read") from error
        return decode_record(data)

    async def write(self, record: DatabaseRecord) -> None:
        try:
            await asyncio.to_thread(self._replace, encode_record(record))
        except OSError as error:
            raise RecordUnavailable(f"{self._path} cannot be written") from error

    def _replace(self, data: bytes) -> None:
        """As a whole or not at all."""
        draft = self._path.with_name(self._path.name + ".new")
        draft.write_bytes(data)
        draft.replace(self._path)
