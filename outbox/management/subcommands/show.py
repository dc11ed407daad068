"""`manage.py outbox show`: one event with all that is known of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import output, values
from circuits.terminal.people import NOTHING_DONE, USAGE
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.management.people import operator
from outbox.operations.contents import reveal
from outbox.operations.filters import Filter
from outbox.operations.show import EventDetails, show


class Show(Verb):
    help = (
        "Shows one event: its columns, its failed attempts, the broker's receipt, headers and payload, without what "
        "OUTBOX_REDACT names."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=values.positive, nargs="?", metavar="ID", help="the event's number")
        parser.add_argument("--tenant", metavar="NAME", help="with --dedupe-key, instead of a number")
        parser.add_argument("--dedupe-key", metavar="KEY", help="with --tenant, instead of a number")
        parser.add_argument("--no-payload", action="store_true", help="leave the payload out: it may be confidential")
        parser.add_argument("--reveal", action="store_true", help="also what is redacted; recorded, with --reason")
        parser.add_argument("--reason", metavar="TEXT", help="why it is revealed")
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        if options["reveal"] and not (options["reason"] or "").strip():
            raise CommandError("Say why: --reason TEXT.", returncode=USAGE)
        found = show(_named(options), using=arguments.database(options))
        if found is not None and options["reveal"]:
            found = _revealed(found, options)
        if found is None:
            raise CommandError("There is no such event.", returncode=NOTHING_DONE)
        if found.is_redacted:
            command.stderr.write("Some values are redacted; --reveal shows them, and is recorded.")
        if options["json"]:
            output.write_json(command.stdout, _record(found, with_payload=not options["no_payload"]))
            return
        for line in _lines(found, with_payload=not options["no_payload"]):
            command.stdout.write(line)


def _revealed(found: EventDetails, options: Mapping[str, Any]) -> EventDetails | None:
    every = reveal(
        event_id=found.event.event_id,
        by=operator(),
        reason=options["reason"],
        using=arguments.database(options),
        most_bytes=None,
    )
    if every is None:
        return None
    return replace(found, headers=every.headers, payload=every.payload, is_redacted=False)


def _named(options: Mapping[str, Any]) -> Filter:
    by_key = options["tenant"] is not None and options["dedupe_key"] is not None
    if (options["id"] is None) != by_key:
        raise CommandError("Name the event: by its number, or by --tenant and --dedupe-key.", returncode=USAGE)
    if options["id"] is not None:
        return Filter(ids=(options["id"],), tenant_id=options["tenant"])
    return Filter(tenant_id=options["tenant"], dedupe_key=options["dedupe_key"])


def _record(found: EventDetails, *, with_payload: bool) -> dict[str, Any]:
    record = asdict(found)
    event = record.pop("event")
    if not with_payload:
        del record["payload"]
    return {**event, **record}


def _lines(found: EventDetails, *, with_payload: bool) -> Iterator[str]:
    event = found.event
    receipt = "" if found.kafka_offset is None else f"partition {found.kafka_partition}, offset {found.kafka_offset}"
    pairs = {
        "event": event.event_id,
        "tenant": event.tenant_id,
        "topic": event.topic,
        "partition key": event.partition_key,
        "dedupe key": event.dedupe_key,
        "status": event.status.value,
        "attempts": event.attempts,
        "error": " ".join(part for part in (event.error_class, found.last_error) if part),
        "created": output.at(event.created_at),
        "due": output.at(event.available_at),
        "sent": output.at(event.sent_at),
        "receipt": receipt,
        "size": f"{found.payload_bytes:,} bytes",
    }
    for name, value in pairs.items():
        if value != "":
            yield f"{name:<15}{output.plain(str(value))}"
    yield from _attempts(found)
    yield output.plain(f"{'headers':<15}{json.dumps(found.headers, ensure_ascii=False)}")
    if with_payload:
        yield "payload"
        yield from map(output.plain, json.dumps(found.payload, indent=2, ensure_ascii=False).splitlines())


def _attempts(found: EventDetails) -> Iterator[str]:
    if found.failed_attempts:
        yield "failed attempts"
    for attempt in found.failed_attempts:
        what = output.plain(f"{attempt.error_class} {attempt.code}: {attempt.message}")
        yield f"  {output.at(attempt.at)}  {what}"
