"""`manage.py outbox stats`: how the outbox stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, OutputWrapper

from circuits.terminal import output, values
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.operations import stats
from outbox.operations.backlog import TenantFigures
from outbox.operations.stats import Total

DEFAULT_LIMIT = 20


class Stats(Verb):
    help = (
        "Shows events by status, what waits per tenant and since when, what of it is blocked behind an open circuit, "
        "relays, rate and pauses, each with the time it was taken. Costs the same at any size."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="NAME", help="of what waits, this tenant only")
        parser.add_argument(
            "--limit",
            type=values.positive,
            default=DEFAULT_LIMIT,
            metavar="N",
            help="so many tenants, those that wait longest (default: %(default)s)",
        )
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        found = stats.stats(using=arguments.database(options))
        waiting = [each for each in found.backlog.tenants if options["tenant"] in (None, each.tenant_id)]
        if options["json"]:
            output.write_json(command.stdout, _record(found, waiting[: options["limit"]]))
            return
        if found.stale:
            command.stderr.write(f"Warning: {found.stale}")
        _write_totals(command.stdout, found)
        _write_waiting(command.stdout, found, waiting, options["limit"])
        _write_relays(command.stdout, found)


def _record(found: stats.Stats, waiting: list[TenantFigures]) -> dict[str, Any]:
    return {
        "taken_at": found.taken_at,
        "totals": {
            each.status.value: {"events": each.events, "exact": each.exact, "taken_at": each.taken_at}
            for each in found.totals
        },
        "backlog_taken_at": found.backlog.taken_at,
        "blocked": found.backlog.totals.blocked,
        "tenants_waiting": found.backlog.totals.tenants,
        "oldest_pending_at": found.backlog.totals.oldest_pending_at,
        "tenants": waiting,
        "rate": found.rate,
        "relays": found.relays,
        "pauses": found.pauses,
    }


def _write_totals(stream: OutputWrapper, found: stats.Stats) -> None:
    rows = [(each.status.value, _figure(each), each.taken_at) for each in found.totals]
    if found.backlog.totals.blocked:
        # A part of the pending ones.
        rows.insert(1, ("  blocked", f"{found.backlog.totals.blocked:,}", found.backlog.taken_at or found.taken_at))
    output.write_table(stream, ("STATUS", "EVENTS", "AS OF"), rows)


def _figure(total: Total) -> str:
    return f"{'' if total.exact else '~'}{total.events:,}"


def _write_waiting(stream: OutputWrapper, found: stats.Stats, waiting: list[TenantFigures], limit: int) -> None:
    taken_at = found.backlog.taken_at
    rows = [
        (
            each.tenant_id,
            f"{each.pending:,}",
            f"{each.blocked:,}",
            _waited(each, found),
            f"{each.scheduled:,}",
            f"{each.failed:,}",
        )
        for each in waiting[:limit]
    ]
    if rows:
        stream.write("")
        output.write_table(stream, ("TENANT", "PENDING", "BLOCKED", "OLDEST", "SCHEDULED", "FAILED"), rows)
    if len(waiting) > limit:
        stream.write(f"and {len(waiting) - limit:,} more tenants")
    if taken_at is not None:
        stream.write(f"what waits as of {output.at(taken_at)}")


def _waited(figures: TenantFigures, found: stats.Stats) -> str:
    taken_at = found.backlog.taken_at
    waited: timedelta | None = None
    if taken_at is not None and figures.oldest_pending_at is not None:
        waited = taken_at - figures.oldest_pending_at
    return output.age(waited)


def _write_relays(stream: OutputWrapper, found: stats.Stats) -> None:
    stream.write("")
    rows = [
        (each.host, str(each.pid), each.version, str(each.lanes), f"{each.rate:,.1f}", output.age(each.silent))
        for each in found.relays
    ]
    output.write_table(stream, ("RELAY", "PROCESS", "VERSION", "LANES", "EVENTS/S", "SILENT"), rows)
    alive = sum(each.alive for each in found.relays)
    stream.write(f"{alive} relays alive, {found.rate:,.1f} events/s, as of {output.at(found.taken_at)}")
    for each in found.pauses:
        who = "EVERYONE" if each.of_everyone else f"tenant {each.tenant_id}"
        until = "" if each.until is None else f" until {output.at(each.until)}"
        stream.write(f"paused: {who} by {output.plain(each.by)}{until}: {output.plain(each.reason)}")
