"""`manage.py circuits <verb>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandError

from circuits.errors import CircuitError, NoSuchCircuit, StoreUnavailable
from circuits.management.subcommands.forcing import Automatic, ForceClosed, ForceOpen, Reset
from circuits.management.subcommands.list import List
from circuits.management.subcommands.prune import Prune
from circuits.management.subcommands.set import Set
from circuits.management.subcommands.show import Show
from circuits.process import process
from circuits.terminal.people import NOTHING_DONE, USAGE
from circuits.terminal.verbs import Verb, VerbCommand, in_one_line, is_not_migrated


class Command(VerbCommand):
    help = "Looks at circuits, and takes them into one's own hands."
    errors = CircuitError
    verbs: ClassVar[Mapping[str, Verb]] = {
        "list": List(),
        "show": Show(),
        "force-open": ForceOpen(),
        "force-closed": ForceClosed(),
        "auto": Automatic(),
        "reset": Reset(),
        "set": Set(),
        "prune": Prune(),
    }

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            super().handle(*args, verb=verb, **options)
        finally:
            process.close()

    def refused(self, error: Exception) -> CommandError:
        code = NOTHING_DONE if isinstance(error, NoSuchCircuit | StoreUnavailable) else USAGE
        cause = f" ({in_one_line(error.__cause__)})" if error.__cause__ and isinstance(error, StoreUnavailable) else ""
        return CommandError(f"{error}{cause}", returncode=code)

    def database_failed(self, error: Exception, options: Mapping[str, Any]) -> CommandError:
        said = in_one_line(error)
        if is_not_migrated(error):
            return CommandError(
                f"The database is not migrated: run manage.py migrate. ({said})", returncode=NOTHING_DONE
            )
        return CommandError(f"The database did not answer: {said}", returncode=NOTHING_DONE)
