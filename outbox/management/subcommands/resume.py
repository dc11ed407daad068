"""`manage.py outbox resume`: the end of a pause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import output
from circuits.terminal.people import NOTHING_DONE, add_consent, ask
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.management.people import operator
from outbox.operations import pause


class Resume(Verb):
    help = "Ends the pause of a tenant, or without --tenant that of everyone; tenants paused by name stay so."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="NAME", help="resume this tenant only")
        parser.add_argument("--reason", default="", metavar="TEXT", help="why; recorded with who did it")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        add_consent(parser)
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        alias, tenant = arguments.database(options), options["tenant"]
        who = "everyone" if tenant is None else f"tenant {tenant!r}"
        held = [each for each in pause.pauses(using=alias) if each.tenant_id == (tenant or "*")]
        if not held:
            raise CommandError(f"No pause of {who} holds.", returncode=NOTHING_DONE)
        if options["dry_run"]:
            command.stdout.write(f"Would resume {who}, paused by {held[0].by}: {output.plain(held[0].reason)}")
            return
        ask(command, f"Resume {who}, paused by {held[0].by} ({output.plain(held[0].reason)})?", options)
        if not pause.resume(tenant_id=tenant, reason=options["reason"], by=operator(), using=alias):
            raise CommandError(f"No pause of {who} holds any more.", returncode=NOTHING_DONE)
        if options["json"]:
            output.write_json(command.stdout, {"tenant_id": tenant or "*", "resumed": True})
        else:
            command.stdout.write(f"Resumed {who}.")
