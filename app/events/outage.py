"""One line when a dependency goes away and one when it is back, instead of one at every attempt."""

from __future__ import annotations

from loguru import logger


class Outage:
    """``doing`` says what waits for ``dependency``."""

    def __init__(self, dependency: str, *, doing: str) -> None:
        self._dependency = dependency
        self._doing = doing
        self.on = False

    def begin(self, error: Exception) -> None:
        if not self.on:
            logger.warning("{}: {} is away ({}), trying again", self._doing, self._dependency, type(error).__name__)
        self.on = True

    def end(self) -> None:
        if self.on:
            logger.info("{}: {} is back", self._doing, self._dependency)
        self.on = False
