"""Where the official fixtures are. They carry no licence, so they are read in place and never copied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


def official_fixture(name: str) -> bytes:
    """The file's bytes; skips the test, saying why, where the folder is absent."""
    folder = Path(os.environ.get("KITE_MOCKS") or REPOSITORY.parent / "shared" / "kite-mocks")
    if not folder.is_dir():
        pytest.skip(f"official Kite Connect fixtures are not here (KITE_MOCKS names their folder; looked in {folder})")
    return (folder / name).read_bytes()
