"""Trouble that must not become the caller's: said once, until it is over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Trouble:
    """One kind of trouble. Logs a warning when it begins, and nothing while it lasts."""

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger = logger
        self._what = what
        self._lasts = False

    def begins(self, error: Exception) -> None:
        if not self._lasts:
            self._lasts = True
            self._logger.warning("%s: %s", self._what, " ".join(f"{type(error).__name__} {error}".split()))

    def is_over(self) -> None:
        self._lasts = False

    @contextmanager
    def contained(self) -> Iterator[None]:
        """Whatever is raised within goes no further."""
        try:
            yield
        except Exception as error:
            self.begins(error)
        else:
            self.is_over()
