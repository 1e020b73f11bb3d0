"""The bounds of the connections, where no settings are given."""

from __future__ import annotations

from app.config import Settings
from app.db.database_bounds import DatabaseBounds
from app.db.redis import RedisBounds


def test_the_defaults_are_those_of_the_settings() -> None:
    """Written twice, because a pool can be opened without settings."""
    assert DatabaseBounds() == DatabaseBounds.from_settings(Settings())
    assert RedisBounds() == RedisBounds.from_settings(Settings())
