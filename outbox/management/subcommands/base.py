from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser


class Subcommand(ABC):
    """One verb of `manage.py outbox`."""

    help: ClassVar[str]
    needs_valid_settings: ClassVar[bool] = True
    """Whether Django's system checks run first."""

    @abstractmethod
    def add_arguments(self, parser: CommandParser) -> None:
        """Add what the verb understands."""

    @abstractmethod
    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        """Do it; raises `CommandError` with a message for people when that fails."""
