"""`manage.py outbox jobs`: what is done in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import output, values
from circuits.terminal.people import NOTHING_DONE, USAGE, add_consent, ask
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.management.people import operator
from outbox.models import JobState, JobVerb, OutboxJob
from outbox.operations.jobs import desk
from outbox.operations.jobs.desk import NoSuchJob
from outbox.operations.jobs.progress import progress_of, words_of
from outbox.operations.jobs.states import OPERATORS, ImpossibleTransition

DEFAULT_LIMIT = 20
_MOVES = {action.value: action for action in OPERATORS}
_HEAD = ("JOB", "VERB", "STATE", "DONE", "OF", "RATE", "LEFT", "BY", "ASKED FOR", "REASON")


class Jobs(Verb):
    help = (
        "Lists replays, discards and requeues that run in the background, or shows, pauses, resumes or cancels one. "
        "They are started by `replay --job` and the like, or in the admin, and run by qcluster."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action", nargs="?", default="list", choices=("list", "show", *_MOVES), help="list, unless another is given"
        )
        parser.add_argument("id", nargs="?", type=values.positive, metavar="ID", help="the job; for all but list")
        parser.add_argument(
            "--state", action="append", choices=JobState.values, metavar="STATE", help=", ".join(JobState.values)
        )
        parser.add_argument(
            "--limit",
            type=values.positive,
            default=DEFAULT_LIMIT,
            metavar="N",
            help="of the latest (default: %(default)s)",
        )
        parser.add_argument("--reason", metavar="TEXT", help="why; to pause, resume or cancel")
        add_consent(parser)
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        action = options["action"]
        if (options["id"] is None) != (action == "list"):
            raise CommandError("Name one job by its number, or none to list them.", returncode=USAGE)
        if action == "list":
            self._list(command, options)
        elif action == "show":
            self._show(command, options)
        else:
            self._move(command, options)

    def _list(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        jobs = OutboxJob.objects.using(arguments.database(options)).order_by("-pk")
        if options["state"]:
            jobs = jobs.filter(state__in=options["state"])
        rows = list(jobs[: options["limit"]])
        if options["json"]:
            for job in rows:
                output.write_json(command.stdout, _record(job))
        else:
            output.write_table(command.stdout, _HEAD, [_cells(job) for job in rows])
        if not rows:
            command.stderr.write("There is no such job.")

    def _show(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        job = _find(options)
        if options["json"]:
            output.write_json(command.stdout, _record(job))
            return
        for name, value in _record(job).items():
            if value not in (None, "", {}):
                command.stdout.write(f"{name:<15}{output.plain(_said(value))}")

    def _move(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        job, action = _find(options), _MOVES[options["action"]]
        if not (options["reason"] or "").strip():
            raise CommandError("Say why: --reason TEXT.", returncode=USAGE)
        ask(command, f"{action.value.capitalize()} job {job.pk}: {job.verb} {words_of(job)}?", options)
        try:
            alias = arguments.database(options)
            desk.move(job.pk, action, by=operator(), reason=options["reason"], using=alias)
        except ImpossibleTransition as error:
            raise CommandError(f"Nothing was changed: {error}.", returncode=NOTHING_DONE) from error
        job.refresh_from_db()
        if options["json"]:
            output.write_json(command.stdout, _record(job))
        else:
            command.stdout.write(f"Job {job.pk} is {job.state}.")


def _find(options: Mapping[str, Any]) -> OutboxJob:
    try:
        return desk.find(options["id"], using=arguments.database(options))
    except NoSuchJob as error:
        raise CommandError(f"There is no job {options['id']}.", returncode=NOTHING_DONE) from error


def _record(job: OutboxJob) -> dict[str, Any]:
    progress = progress_of(job)
    return {
        "job": job.pk,
        "verb": JobVerb(job.verb).value,
        "events": words_of(job),
        "state": JobState(job.state).value,
        "done": job.done,
        "skipped": job.skipped,
        "total": progress.total,
        "rate": progress.rate,
        "left": progress.left,
        "waits_for": job.waits_for,
        "error": job.error,
        "by": job.requested_by,
        "reason": job.reason,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _cells(job: OutboxJob) -> tuple[Any, ...]:
    progress = progress_of(job)
    rate = "" if progress.rate is None else f"{progress.rate:,.0f}/s"
    total = "" if progress.total is None else f"{progress.total:,}"
    left = output.age(progress.left)
    return (
        job.pk,
        JobVerb(job.verb).value,
        JobState(job.state).value,
        f"{job.done:,}",
        total,
        rate,
        left,
        job.requested_by,
        job.created_at,
        job.reason,
    )


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, dict):
        return ", ".join(f"{number:,} {status}" for status, number in value.items())
    return output.at(value) if hasattr(value, "tzinfo") else str(value)
