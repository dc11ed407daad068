"""`manage.py circuits force-open`, `force-closed`, `auto` and `reset`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser

from circuits.management import records
from circuits.management.arguments import COMMAND, add_change, add_circuit, lasting
from circuits.operations import listing, steering
from circuits.terminal import output
from circuits.terminal.people import account, ask
from circuits.terminal.values import moment
from circuits.terminal.verbs import Verb


class Deciding(Verb):
    """A verb by which staff decide what a circuit does."""

    verb: ClassVar[str]
    done: ClassVar[str]

    @abstractmethod
    def decide(self, options: Mapping[str, Any], **given: Any) -> None: ...

    def add_arguments(self, parser: CommandParser) -> None:
        add_circuit(parser)
        add_change(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        circuit = f"circuit {options['name']!r} of tenant {options['tenant']!r}"
        reason = steering.checked_reason(options["reason"])
        ask(command, f"{self.verb} {circuit}?", options)
        self.decide(
            options, tenant_id=options["tenant"], name=options["name"], by=account(), reason=reason, origin=COMMAND
        )
        if options["json"]:
            row = listing.show(tenant_id=options["tenant"], name=options["name"])
            output.write_json(command.stdout, records.as_record(row))
        else:
            command.stdout.write(f"{self.done} {circuit}.")


class Forcing(Deciding):
    """One that may end by itself."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        end = parser.add_mutually_exclusive_group()
        end.add_argument("--until", type=moment, metavar="TIME", help="ends by itself then: 2026-11-23T18:00")
        end.add_argument("--for", dest="length", type=lasting, metavar="AGE", help="ends by itself: 30m, 2h")

    def until(self, options: Mapping[str, Any]) -> datetime | None:
        if options["length"] is not None:
            end: datetime = listing.database_now() + options["length"]
            return end
        until: datetime | None = options["until"]
        return until


class ForceOpen(Forcing):
    help = "Refuses all calls, whatever happens, until somebody decides otherwise or the time is over."
    verb, done = "Force open", "Forced open:"

    def decide(self, options: Mapping[str, Any], **given: Any) -> None:
        steering.force_open(until=self.until(options), **given)


class ForceClosed(Forcing):
    help = "Lets all calls through, however many fail, until somebody decides otherwise or the time is over."
    verb, done = "Force closed", "Forced closed:"

    def decide(self, options: Mapping[str, Any], **given: Any) -> None:
        steering.force_closed(until=self.until(options), **given)


class Automatic(Deciding):
    help = "Leaves a circuit that was forced to itself again, as it was before."
    verb, done = "Make automatic again", "Automatic again:"

    def decide(self, options: Mapping[str, Any], **given: Any) -> None:
        steering.automatic(**given)


class Reset(Deciding):
    help = "Closes a circuit and forgets all its failures; it is automatic afterwards."
    verb, done = "Reset", "Reset:"

    def decide(self, options: Mapping[str, Any], **given: Any) -> None:
        steering.reset(**given)
