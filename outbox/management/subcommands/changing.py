"""What replay, discard and requeue have in common: preview, consent, batches or a job, and where to go on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import output, values
from circuits.terminal.people import NOTHING_DONE, USAGE, Meanwhile, add_consent, ask
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.management.people import operator
from outbox.models import JobVerb
from outbox.operations.bulk import Preview, Progress
from outbox.operations.filters import Filter
from outbox.operations.jobs import desk

_FILTERS = ("tenant", "topic", "status", "error_class", "older_than", "id", "dedupe_key")


class Changing(Verb):
    """A verb that changes all events of a filter."""

    verb: ClassVar[JobVerb]
    done: ClassVar[str]
    statuses: ClassVar[str] = "failed; with --id or --dedupe-key all that can be"
    """Which are meant if none is given."""

    @abstractmethod
    def run(self, given: Filter, *, progress: Callable[[Progress], object], **how: Any) -> Progress: ...

    @abstractmethod
    def preview(self, given: Filter, **how: Any) -> Preview: ...

    def job_options(self, given: Filter) -> dict[str, Any]:
        """What the job of this verb takes besides."""
        return {}

    def warning(self, found: Preview) -> str:
        """What people should know before they agree."""
        return ""

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_filter(parser, statuses=self.statuses)
        parser.add_argument("--all", action="store_true", help=f"{self.verb.value} without any of the above")
        parser.add_argument("--limit", type=values.positive, metavar="N", help="at most so many")
        parser.add_argument("--up-to-id", type=values.positive, metavar="ID", help="leave newer events alone")
        parser.add_argument("--reason", metavar="TEXT", help="why; recorded with who did it")
        parser.add_argument("--job", action="store_true", help="in the background, by qcluster; see `outbox jobs`")
        parser.add_argument(
            "--rate",
            type=float,
            metavar="N",
            help="of a job: at most so many events per second (default: OUTBOX_JOB_RATE)",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        add_consent(parser)
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        if not any(options[name] for name in _FILTERS) and not options["all"]:
            raise CommandError(f"Say which events to {self.verb.value}, or --all.", returncode=USAGE)
        if (options["job"] and (options["limit"] or options["after"])) or (options["rate"] and not options["job"]):
            raise CommandError("A job has a --rate, and neither --limit nor --after.", returncode=USAGE)
        given = arguments.chosen(options)
        how = {"limit": options["limit"], "after": options["after"], "using": arguments.database(options)}
        if not options["dry_run"] and not (options["reason"] or "").strip():
            raise CommandError("Say why: --reason TEXT.", returncode=USAGE)
        found = self.preview(given, **how)
        if options["dry_run"]:
            self._say_preview(command, found, options)
            return
        if found.events or found.more:
            ask(command, " ".join(filter(None, (self.warning(found), self._question(found)))), options)
        if options["job"]:
            self._start(command, given, found, options)
        else:
            self._change(command, given, how, options)

    def _start(self, command: BaseCommand, given: Filter, found: Preview, options: Mapping[str, Any]) -> None:
        job_id = desk.start(
            verb=self.verb,
            given=given,
            by=operator(),
            reason=options["reason"],
            rate=options["rate"],
            expected=found.events,
            expected_more=found.more,
            using=arguments.database(options),
            **self.job_options(given),
        )
        if options["json"]:
            output.write_json(command.stdout, {"job": job_id})
        else:
            command.stdout.write(f"Job {job_id} has started; see `outbox jobs show {job_id}`.")

    def _question(self, found: Preview) -> str:
        return f"{self.verb.value.capitalize()} {_described(found)}?"

    def _say_preview(self, command: BaseCommand, found: Preview, options: Mapping[str, Any]) -> None:
        if options["json"]:
            output.write_json(
                command.stdout,
                {
                    "events": found.events,
                    "more": found.more,
                    "tenants": found.tenants,
                    "statuses": found.statuses,
                    "skipped": found.skipped,
                },
            )
        else:
            left = _left_alone(found.skipped)
            command.stdout.write(f"Would {self.verb.value} {_described(found)}{left}. {self.warning(found)}".rstrip())
        if not found.events and not found.more:
            raise CommandError("There is nothing to do.", returncode=NOTHING_DONE)

    def _change(self, command: BaseCommand, given: Filter, how: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        meanwhile, so_far = Meanwhile(command), Progress(next=options["after"])

        def progress(done: Progress) -> None:
            nonlocal so_far
            so_far = done
            meanwhile.say(f"{self.done} {done.changed:,} events")

        try:
            self.run(given, progress=progress, by=operator(), reason=options["reason"], **how)
        except KeyboardInterrupt:
            meanwhile.end()
            self._say(command, so_far, options)
            raise CommandError(f"Stopped. {_going_on(so_far)}", returncode=NOTHING_DONE) from None
        except Exception:
            meanwhile.end()
            if so_far.changed:
                command.stderr.write(f"{self.done} {so_far.changed:,} events so far. {_going_on(so_far)}")
            raise
        meanwhile.end()
        self._say(command, so_far, options)
        if not so_far.changed:
            raise CommandError("Nothing was changed.", returncode=NOTHING_DONE)

    def _say(self, command: BaseCommand, so_far: Progress, options: Mapping[str, Any]) -> None:
        if options["json"]:
            record = {self.done.lower(): so_far.changed, "skipped": so_far.skipped, "next": so_far.next}
            output.write_json(command.stdout, {**record, "up_to_id": so_far.up_to_id})
            return
        command.stdout.write(f"{self.done} {so_far.changed:,} events{_left_alone(so_far.skipped)}.")
        if so_far.next is not None and so_far.next != options["after"]:
            command.stderr.write(f"There may be more: {_place(so_far)}")


def _described(found: Preview) -> str:
    more = "+" if found.more else ""
    tenants = f"{found.tenants} tenant{'' if found.tenants == 1 else 's'}"
    statuses = ", ".join(f"{number:,}{more} {status}" for status, number in found.statuses.items())
    return f"{found.events:,}{more} event{'' if found.events == 1 else 's'} of {tenants}" + (
        f" ({statuses})" if len(found.statuses) > 1 else ""
    )


def _left_alone(skipped: Mapping[str, int]) -> str:
    said = ", ".join(_skipped(skipped))
    return f"; left alone: {said}" if said else ""


def _skipped(skipped: Mapping[str, int]) -> Iterator[str]:
    for status, number in skipped.items():
        yield f"{number:,} that somebody is changing" if status == "changing" else f"{number:,} {status}"


def _going_on(so_far: Progress) -> str:
    return "Run it again to begin anew" + (f", or go on with {_place(so_far)}." if so_far.next else ".")


def _place(so_far: Progress) -> str:
    return f"--after {so_far.next}" + (f" --up-to-id {so_far.up_to_id}" if so_far.up_to_id else "")
