from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser


class Subcommand(ABC):
    """One verb of `manage.py circuits`."""

    help: ClassVar[str]

    @abstractmethod
    def add_arguments(self, parser: CommandParser) -> None:
        """Add what the verb understands."""

    @abstractmethod
    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        """Do it; raises `CommandError` or `CircuitError` with a message for people when that fails."""
