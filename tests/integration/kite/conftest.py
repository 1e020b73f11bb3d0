"""What the tests of the broker's adapter share."""

from __future__ import annotations

from typing import Any

import pytest
from loguru import logger


@pytest.fixture
def logged() -> Any:
    """Everything that loguru writes during the test, as one growing list."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="TRACE")
    yield lines
    logger.remove(sink)
