"""What can go wrong, one class for each way out."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured


class OutboxError(Exception):
    """Something is wrong with the outbox."""


class InvalidSetting(OutboxError, ImproperlyConfigured):
    """A setting cannot be used."""

    def __init__(self, name: str, value: Any, reason: str) -> None:
        super().__init__(f"{name}={value!r}: {reason}.")
        self.name = name
        self.value = value
        self.reason = reason
