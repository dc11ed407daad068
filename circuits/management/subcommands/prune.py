"""`manage.py circuits prune`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits import conf
from circuits.management.arguments import COMMAND, add_json
from circuits.operations import history
from circuits.signals import history_pruned
from circuits.terminal import output
from circuits.terminal.people import USAGE, Meanwhile, account, add_consent, ask
from circuits.terminal.verbs import Verb


class Prune(Verb):
    help = (
        "Deletes moves of circuits that nobody decided and that are older than CIRCUITS_HISTORY_DAYS. What staff "
        "decided stays. django-q2 does it too where outbox.tasks.prune is scheduled."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="why, if not the usual; recorded with who did it"
        )
        add_consent(parser)
        add_json(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        days = conf.get().history_days
        if days is None:
            raise CommandError("CIRCUITS_HISTORY_DAYS is empty: the history is kept for ever.", returncode=USAGE)
        ask(command, f"Delete moves of circuits older than {days} days for good?", options)
        deleted = _prune(Meanwhile(command), reason=" ".join(options["reason"].replace("\x00", "").split()))
        if options["json"]:
            output.write_json(command.stdout, {"deleted": deleted})
        else:
            command.stdout.write(f"Deleted {deleted:,} moves.")


def _prune(meanwhile: Meanwhile, *, reason: str) -> int:
    deleted = 0

    def progress(so_far: int) -> None:
        nonlocal deleted
        deleted = so_far
        meanwhile.say(f"{so_far:,} moves")

    try:
        return history.prune(progress=progress)
    finally:
        meanwhile.end()
        if deleted:
            history_pruned.send(sender=Prune, by=account(), origin=COMMAND, reason=reason, deleted=deleted)
