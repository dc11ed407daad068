"""Limits that a machine which stands still for a second does not reach; tests of limits set their own."""

from __future__ import annotations

from pytest_django import Settings

SECONDS = 60


def have(settings: Settings) -> None:
    """With the database of circuits, which a call does without when it is slow."""
    settings.CIRCUITS_STATEMENT_TIMEOUT = settings.CIRCUITS_LOCK_TIMEOUT = settings.CIRCUITS_CONNECT_TIMEOUT = SECONDS
