"""`manage.py outbox prune`: what is over is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from circuits.terminal import output, values
from circuits.terminal.people import NOTHING_DONE, Meanwhile, add_consent, ask
from circuits.terminal.verbs import Verb
from outbox import conf
from outbox.management import arguments
from outbox.management.people import operator
from outbox.models.names import EVERY_TENANT
from outbox.operations import audit, prune
from outbox.operations.jobs.prune import prune_jobs
from outbox.operations.prune import Pruned


class Prune(Verb):
    help = (
        "Deletes sent and discarded events whose retention is over, a few at a time beside running relays; dead "
        "letters only if OUTBOX_DEAD_LETTER_RETENTION_DAYS is set. Ends when nothing is left that is over; with 1 when "
        "another process prunes already."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=values.positive, metavar="N", help="at most so many events")
        parser.add_argument("--seconds", type=values.positive, metavar="S", help="stop after so long")
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="why, if not the usual; recorded with who did it"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")
        add_consent(parser)
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        reason = audit.optional_reason(options["reason"])
        if not options["dry_run"]:
            ask(command, f"Delete {_what()} for good?", options)
        meanwhile, done = Meanwhile(command), Pruned()

        def progress(so_far: Pruned) -> None:
            nonlocal done
            done = so_far
            meanwhile.say(f"{so_far.total:,} events, now of {so_far.tenant_id}")

        how = {name: options[name] for name in ("limit", "seconds", "dry_run")}
        try:
            done = prune.prune(**how, using=arguments.database(options), progress=progress)
        except KeyboardInterrupt:
            meanwhile.end()
            self._say(command, done, options)
            raise CommandError("Stopped. Run it again to go on.", returncode=NOTHING_DONE) from None
        finally:
            meanwhile.end()
            if done.total and not options["dry_run"]:
                _record(done, reason, options)
        if not options["dry_run"]:
            prune_jobs(using=arguments.database(options))
        self._say(command, done, options)

    def _say(self, command: BaseCommand, done: Pruned, options: Mapping[str, Any]) -> None:
        if options["json"]:
            record = {"events": done.total, "statuses": done.events, "finished": done.finished}
            output.write_json(command.stdout, {**record, "dry_run": options["dry_run"]})
            return
        statuses = ", ".join(f"{number:,} {status}" for status, number in done.events.items())
        verb = "Would delete" if options["dry_run"] else "Deleted"
        more = "" if done.finished else " There may be more."
        command.stdout.write(f"{verb} {done.total:,} events{f' ({statuses})' if statuses else ''}.{more}")


def _what() -> str:
    settings = conf.get()
    days = settings.retention_days
    usual = "sent and discarded events " + (
        "whose tenant's policy sets an end" if days is None else f"older than {days} days, or as their policies say"
    )
    if settings.dead_letter_retention_days is None:
        return usual
    return f"{usual}, and dead letters older than {settings.dead_letter_retention_days} days,"


def _record(done: Pruned, reason: str, options: Mapping[str, Any]) -> None:
    alias = arguments.database(options)
    with transaction.atomic(using=alias):
        audit.record(
            by=operator(), verb="prune", using=alias, reason=reason, tenants=[EVERY_TENANT], counts=done.events
        )
