"""`manage.py outbox pause`: a tenant, or everyone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import output, values
from circuits.terminal.people import NOTHING_DONE, add_consent, ask
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.management.people import operator
from outbox.operations import listing, pause
from outbox.operations.audit import checked_reason


class Pause(Verb):
    help = (
        "Stops publishing for a tenant, or without --tenant for everyone, within a second. What is under way comes to "
        "its end, and enqueueing goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="NAME", help="pause this tenant only")
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; shown wherever the pause is")
        end = parser.add_mutually_exclusive_group()
        end.add_argument("--until", type=values.moment, metavar="TIME", help="ends by itself then: 2026-11-23T18:00")
        end.add_argument("--for", dest="length", type=values.duration, metavar="AGE", help="ends by itself: 30m, 2h")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        add_consent(parser)
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        alias, reason, tenant = arguments.database(options), checked_reason(options["reason"]), options["tenant"]
        if tenant is not None and not pause.is_known(tenant, using=alias):
            raise CommandError(
                f"Tenant {tenant!r} has no event, no lane and no policy: is it misspelt? One that is to begin paused "
                "gets a policy in the admin.",
                returncode=NOTHING_DONE,
            )
        until = _until(options, alias)
        who = "everyone" if tenant is None else f"tenant {tenant!r}"
        end = "" if until is None else f" until {output.at(until)}"
        if options["dry_run"]:
            command.stdout.write(f"Would pause {who}{end}.")
            return
        ask(command, f"Pause {who}{end}?", options)
        held = pause.pause(tenant_id=tenant, reason=reason, until=until, by=operator(), using=alias)
        if options["json"]:
            record = {"tenant_id": held.tenant_id, "by": held.by, "reason": held.reason, "until": held.until}
            output.write_json(command.stdout, record)
        else:
            command.stdout.write(f"Paused {who}{end}.")


def _until(options: Mapping[str, Any], alias: str) -> datetime | None:
    if options["length"] is None:
        until: datetime | None = options["until"]
        return until
    length: timedelta = options["length"]
    return listing.database_now(using=alias) + length
