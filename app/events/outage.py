"""One log line when a dependency fails and one when it works again, instead of one for every attempt."""

from __future__ import annotations

from loguru import logger


class Outage:
    """``affected`` names the activity that needs ``dependency`` and waits for it."""

    def __init__(self, dependency: str, *, affected: str) -> None:
        self._dependency = dependency
        self._log = logger.bind(affected=affected)
        self._lasts = False

    def begin(self, error: Exception) -> None:
        """An attempt failed with ``error``."""
        if not self._lasts:
            self._log.warning("{} fails with {}, trying again", self._dependency, type(error).__name__)
        self._lasts = True

    def end(self) -> None:
        """An attempt succeeded."""
        if self._lasts:
            self._log.info("{} works again", self._dependency)
        self._lasts = False
