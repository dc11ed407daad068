"""The verbs for operators: what they print, how they end, and what they say to a user's mistake."""

from __future__ import annotations

import itertools
import os
import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

from circuits.terminal import output, values
from circuits.terminal import people as terminal
from outbox.management import people
from outbox.management.subcommands import list as list_module
from outbox.models import EventStatus, OperatorAction, OutboxAttempt, OutboxLane, OutboxRelay, TenantPolicy
from outbox.operations.backlog import Backlog, CountFailed, TenantFigures, Totals
from outbox.operations.bulk import Progress
from outbox.operations.check import Finding, Level
from outbox.operations.filters import Filter
from outbox.operations.listing import database_now, page
from outbox.operations.pause import pauses
from outbox.operations.tail import Happening, Tail
from tests.conftest import StartManage
from tests.outbox.management.said import OK, USAGE, WRONG, Said
from tests.outbox.operations.rows import BEGAN, event, failed, status

pytestmark = pytest.mark.django_db

MOST = str(2**63 - 1)
"""The largest number that is read."""


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody at a terminal, who answers like this."""

    def sit(text: str) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(text))
        monkeypatch.setattr("sys.stderr", Terminal())

    return sit


# list


def test_a_list_is_an_aligned_table() -> None:
    event(topic="orders", partition_key="17", tenant_id="a-long-name")
    failed(topic="x")
    head, *rows = Said("list").out.splitlines()
    assert head.split() == ["ID", "TENANT", "TOPIC", "KEY", "STATUS", "ATTEMPTS", "ERROR", "CREATED", "AGE", "DUE"]
    assert [row[head.index("TOPIC") :].split()[0] for row in rows] == ["x", "orders"]
    assert all(row.index("2026-01-01") == head.index("CREATED") for row in rows)


def test_a_list_for_programs_is_a_json_object_a_line() -> None:
    row = failed(partition_key="ünïcode")
    said = Said("list", "--json", "--status", "failed")
    assert "ünïcode" in said.out
    (line,) = said.lines
    assert (line["event_id"], line["status"], line["tenant_id"]) == (row.pk, "failed", "acme")
    assert line["created_at"].startswith("2026-01-01T00:00:00")


def test_a_list_is_filtered_and_goes_on() -> None:
    rows = [failed(second) for second in range(3)]
    failed(tenant_id="zeta"), event()
    words = ("list", "--json", "--tenant", "acme", "--status", "failed", "--error-class", "topic", "--oldest-first")
    said = Said(*words, "--limit", "2", "--older-than", "1h30m")
    assert [line["event_id"] for line in said.lines] == [rows[0].pk, rows[1].pk]
    place = said.err.split("--after ")[1].strip()
    assert [line["event_id"] for line in Said(*words, "--after", place).lines] == [rows[2].pk]


def test_a_list_without_a_match_says_so_and_is_no_error() -> None:
    said = Said("list", "--tenant", "nobody")
    assert (said.code, said.out) == (OK, "")
    assert "No event matches" in said.err


def test_a_long_search_says_how_far_it_is_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_module, "MOST_LOOKED_AT", 4)
    monkeypatch.setattr("outbox.operations.listing.MOST_LOOKED_AT", 2)
    monkeypatch.setattr(terminal, "SAY_SECONDS", 0.0)
    for second in range(9):
        event(second)
    said = Said("list", "--status", "pending", "--topic", "unheard-of")
    assert said.code == OK
    assert "2 events looked at" in said.err
    assert "--after acme/" in said.err


def test_what_others_wrote_does_not_steer_the_terminal() -> None:
    row = event(partition_key="\x1b[31mred", payload={"text": "\x9b31mred"}, headers={"a": "\x9b"})
    for words in (("list",), ("show", str(row.pk))):
        assert not {"\x1b", "\x9b"} & set(Said(*words).out)
        assert not {"\x1b", "\x9b"} & set(Said(*words, "--json").out)
    (line,) = Said("show", str(row.pk), "--json").lines
    assert line["payload"] == {"text": "\x9b31mred"}


# show


def test_an_event_is_shown_with_its_attempts_and_payload() -> None:
    row = failed(payload={"note": "ü"}, headers={"source": "shop"}, partition_key="k")
    OutboxAttempt.objects.create(event=row, relay_id="0" * 32, error_class="topic", code=3, message="Unknown topic")
    said = Said("show", str(row.pk)).out
    for text in ("status         failed", "topic 3: Unknown topic", '"source": "shop"', '"note": "ü"'):
        assert text in said
    assert "note" not in Said("show", str(row.pk), "--no-payload").out


def test_what_is_redacted_is_revealed_with_a_reason_and_recorded() -> None:
    row = event(payload={"password": "hunter2"}, headers={"authorization": "Bearer 17"})
    for words in ((), ("--json",)):
        said = Said("show", str(row.pk), *words)
        assert "hunter2" not in said.out + said.err
        assert "Bearer" not in said.out + said.err
        assert "redacted: text of 7 characters" in said.out
        assert "--reveal" in said.err
    assert Said("show", str(row.pk), "--reveal").code == USAGE
    assert not OperatorAction.objects.exists()
    said = Said("show", str(row.pk), "--json", "--reveal", "--reason", "ticket 17")
    assert said.lines[0]["payload"] == {"password": "hunter2"}
    assert said.lines[0]["headers"] == {"authorization": "Bearer 17"}
    action = OperatorAction.objects.get()
    assert (action.verb, action.source, action.reason) == ("reveal", "command", "ticket 17")
    assert action.filter == {"ids": [row.pk], "tenant": "acme", "topic": "orders"}


def test_an_event_is_shown_by_its_dedupe_key_as_json() -> None:
    row = event(status=EventStatus.SENT, kafka_partition=1, kafka_offset=7)
    (line,) = Said("show", "--tenant", "acme", "--dedupe-key", row.dedupe_key, "--json").lines
    assert (line["event_id"], line["kafka_offset"], line["failed_attempts"]) == (row.pk, 7, [])
    (line,) = Said("show", str(row.pk), "--json", "--no-payload").lines
    assert "payload" not in line
    assert "partition 1, offset 7" in Said("show", str(row.pk)).out


def test_an_event_that_is_not_there() -> None:
    said = Said("show", "17")
    assert (said.code, said.complaint) == (WRONG, "There is no such event.")


@pytest.mark.parametrize("words", [(), ("--tenant", "acme"), ("17", "--tenant", "acme", "--dedupe-key", "k")])
def test_an_event_has_one_name(words: tuple[str, ...]) -> None:
    assert Said("show", *words).code == USAGE


# replay and discard


@pytest.mark.parametrize(("verb", "becomes"), [("replay", "pending"), ("discard", "discarded")])
def test_events_are_changed_with_yes_and_a_reason(verb: str, becomes: str) -> None:
    row = failed()
    said = Said(verb, "--id", str(row.pk), "--reason", "the topic is there", "--yes")
    assert (said.code, status(row)) == (OK, becomes)
    assert "1 events" in said.out
    action = OperatorAction.objects.get()
    assert (action.source, action.reason) == ("command", "the topic is there")
    assert action.actor == people.operator().name


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_without_yes_and_without_a_terminal_nothing_is_changed(verb: str) -> None:
    row = failed()
    said = Said(verb, "--tenant", "acme", "--reason", "x")
    assert (said.code, status(row)) == (USAGE, "failed")
    assert "--yes" in said.complaint


@pytest.mark.parametrize(
    ("text", "code", "becomes"), [("y\n", OK, "pending"), ("n\n", WRONG, "failed"), ("", WRONG, "failed")]
)
def test_at_a_terminal_one_is_asked(answer: Any, text: str, code: int, becomes: str) -> None:
    row = failed()
    answer(text)
    said = Said("replay", "--tenant", "acme", "--reason", "x")
    assert (said.code, status(row)) == (code, becomes)
    assert "Replay 1 event of 1 tenant? [y/N]" in said.err


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_a_dry_run_only_says(verb: str) -> None:
    row = failed()
    failed(tenant_id="zeta")
    said = Said(verb, "--all", "--dry-run")
    assert (said.code, status(row)) == (OK, "failed")
    assert f"Would {verb} 2 events of 2 tenants" in said.out
    (line,) = Said(verb, "--all", "--dry-run", "--json").lines
    assert (line["events"], line["statuses"]) == (2, {"failed": 2})
    assert not OperatorAction.objects.exists()


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_nothing_to_do_ends_with_1(verb: str) -> None:
    assert Said(verb, "--tenant", "nobody", "--reason", "x", "--yes").code == WRONG
    assert Said(verb, "--tenant", "nobody", "--dry-run").code == WRONG


def test_a_preview_that_found_nothing_yet_asks_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.operations.bulk.MOST_PREVIEWED", 1)
    for second in range(11):
        event(second)
    row = event(99, topic="returns")
    words = ("discard", "--status", "pending", "--topic", "returns", "--tenant", "acme")
    assert Said(*words, "--dry-run").out.startswith("Would discard 0+ events")
    assert Said(*words, "--reason", "x").code == USAGE
    assert status(row) == "pending"


def test_what_was_left_alone_is_said() -> None:
    said = Said("replay", "--id", str(failed().pk), str(event().pk), "--reason", "x", "--yes")
    assert "Replayed 1 events; left alone: 1 pending." in said.out


def test_a_sent_event_is_replayed_when_asked_for_by_its_status_and_it_says_what_that_is(answer: Any) -> None:
    row = event(status=EventStatus.SENT)
    assert Said("replay", "--id", str(row.pk), "--reason", "x", "--yes").code == WRONG
    assert "deliberate duplicate" in Said("replay", "--status", "sent", "--dry-run").out
    answer("yes\n")
    said = Said("replay", "--status", "sent", "--reason", "they lost it")
    assert (said.code, status(row)) == (OK, "pending")
    assert "deliberate duplicate" in said.err


def test_discarding_what_is_pending_warns_of_what_is_under_way() -> None:
    event()
    assert "under way" in Said("discard", "--status", "pending", "--dry-run").out


def test_a_limit_says_where_to_go_on() -> None:
    failed(1), failed(2)
    said = Said("discard", "--all", "--limit", "1", "--reason", "x", "--yes")
    assert "--after acme/" in said.err
    assert "--up-to-id" in said.err
    (line,) = Said("discard", "--all", "--limit", "5", "--reason", "x", "--yes", "--json").lines
    assert (line["discarded"], line["next"]) == (1, None)


def test_an_interruption_says_what_was_done_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    failed(1), failed(2)
    place = "acme/1/1"

    def interrupted(given: Filter, *, progress: Any, **_: object) -> Progress:
        progress(Progress(changed=1, next=place, up_to_id=2))
        raise KeyboardInterrupt

    monkeypatch.setattr("outbox.operations.replay.replay", interrupted)
    said = Said("replay", "--all", "--reason", "x", "--yes")
    assert said.code == WRONG
    assert "Replayed 1 events" in said.out
    assert f"--after {place} --up-to-id 2" in said.complaint


@pytest.mark.parametrize("verb", ["replay", "discard"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--all"),
        (("--all",), "--reason"),
        (("--all", "--reason", " "), "--reason"),
        (("--status", "sent", "--reason", "x", "--after", "nowhere"), ""),
        (("--dedupe-key", "k", "--reason", "x"), "tenant"),
    ],
)
def test_what_is_not_said_rightly_changes_nothing(verb: str, words: tuple[str, ...], says: str) -> None:
    said = Said(verb, "--yes", *words)
    assert said.code == USAGE
    assert says in said.complaint


# pause and resume


def test_everyone_is_paused_and_resumed() -> None:
    said = Said("pause", "--reason", "Kafka is moved", "--for", "2h", "--yes")
    policy = TenantPolicy.objects.get()
    assert (said.code, policy.tenant_id, policy.paused_reason) == (OK, "*", "Kafka is moved")
    assert policy.paused_until is not None
    assert timedelta(hours=1) < policy.paused_until - database_now() <= timedelta(hours=2)
    assert Said("resume", "--yes").code == OK
    assert not TenantPolicy.objects.get().paused
    assert [action.verb for action in OperatorAction.objects.order_by("id")] == ["pause", "resume"]


def test_a_tenant_is_paused_until_a_time_and_resumed() -> None:
    OutboxLane.objects.create(tenant_id="acme")
    (line,) = Said("pause", "--tenant", "acme", "--reason", "x", "--until", "2999-01-01T12:00", "--yes", "--json").lines
    assert (line["tenant_id"], line["until"]) == ("acme", "2999-01-01T12:00:00Z")
    assert Said("resume", "--tenant", "acme", "--yes", "--json").lines == [{"tenant_id": "acme", "resumed": True}]


def test_a_tenant_that_nobody_knows_may_be_misspelt() -> None:
    said = Said("pause", "--tenant", "acne", "--reason", "x", "--yes")
    assert (said.code, "misspelt" in said.complaint) == (WRONG, True)
    assert not TenantPolicy.objects.exists()


def test_a_pause_is_asked_for_and_can_be_tried() -> None:
    assert Said("pause", "--reason", "x").code == USAGE
    assert "Would pause everyone" in Said("pause", "--reason", "x", "--dry-run").out
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="ann", paused_reason="a move")
    assert Said("resume").code == USAGE
    assert "Would resume everyone, paused by ann: a move" in Said("resume", "--dry-run").out
    assert OperatorAction.objects.count() == 0


def test_whoever_resumes_may_say_why() -> None:
    Said("pause", "--reason", "x", "--yes")
    said = Said("resume", "--yes", "--reason", "y" * 1_001)
    assert (said.code, said.complaint) == (USAGE, "A reason has at most 1000 characters, this one 1001.")
    assert pauses()
    assert Said("resume", "--yes", "--reason", " it is \n over ").code == OK
    assert OperatorAction.objects.get(verb="resume").reason == "it is over"


def test_nothing_to_resume_ends_with_1() -> None:
    assert Said("resume", "--yes").code == WRONG
    assert Said("resume", "--tenant", "acme", "--yes").code == WRONG


@pytest.mark.parametrize(
    "words",
    [("--until", "2020-01-01T00:00"), ("--for", "5"), ("--until", "soon"), ("--until", "2999-99-99T00:00"), ()],
)
def test_a_pause_that_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    reason = ("--reason", "x") if words else ()
    assert Said("pause", "--yes", *reason, *words).code != OK
    assert not TenantPolicy.objects.exists()


# stats


@pytest.mark.django_db(transaction=True)
def test_figures_have_their_times() -> None:
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="ann", paused_reason="a move")
    OutboxRelay.objects.create(host="host-1", pid=17, version="0.1.0", rate=12.5)
    said = Said("stats").out
    for text in ("STATUS", "AS OF", "sent", "host-1", "12.5", "1 relays alive", "paused: EVERYONE by ann: a move"):
        assert text in said
    (line,) = Said("stats", "--json").lines
    assert line["totals"]["sent"]["events"] == 0
    assert line["relays"][0]["host"] == "host-1"
    assert line["pauses"][0]["reason"] == "a move"


def test_tenants_are_listed_by_how_long_they_have_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = tuple(
        TenantFigures(
            tenant_id=f"tenant-{n}", pending=1_000 * n, blocked=1_000 * (n == 1), oldest_pending_at=BEGAN, failed=n
        )
        for n in (1, 2, 3)
    )
    totals = Totals(pending=6_000, blocked=1_000, oldest_pending_at=BEGAN, failed=6, tenants=3)
    later = BEGAN + timedelta(minutes=5)
    counted = Backlog(taken_at=later, read_at=later, tenants=figures, totals=totals)

    def fail_to_count(*, refresh_if_older_than: timedelta | None = None, using: str) -> Backlog:
        if refresh_if_older_than is not None:
            raise CountFailed("it took too long")
        return counted

    monkeypatch.setattr("outbox.operations.backlog.snapshot", fail_to_count)
    said = Said("stats", "--limit", "2")
    rows = [line.split() for line in said.out.splitlines() if line.startswith("tenant-")]
    assert rows == [["tenant-1", "1,000", "1,000", "5m", "0", "1"], ["tenant-2", "2,000", "0", "5m", "0", "2"]]
    assert ["blocked", "1,000"] in [line.split()[:2] for line in said.out.splitlines()]
    assert "and 1 more tenants" in said.out
    assert "it took too long" in said.err
    assert [each["tenant_id"] for each in Said("stats", "--json", "--tenant", "tenant-3").lines[0]["tenants"]] == [
        "tenant-3"
    ]


# check


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What `check` finds; filled by the test."""
    found: list[Finding] = []
    monkeypatch.setattr("outbox.management.subcommands.check.check", lambda **_: found)
    return found


def test_each_part_has_a_line_and_what_is_wrong_a_hint(findings: list[Finding]) -> None:
    findings += [
        Finding("database", Level.OK, "answers"),
        Finding("relays", Level.WARNING, "one is silent", "look at its log"),
    ]
    said = Said("check")
    assert said.code == OK
    assert [line.split(maxsplit=1)[0] for line in said.out.splitlines()] == ["ok", "warning", "look"]


def test_something_wrong_ends_with_1(findings: list[Finding]) -> None:
    findings.append(Finding("broker", Level.ERROR, "no answer", "is it up?"))
    said = Said("check", "--json", "--lag", "5m")
    assert (said.code, said.complaint) == (WRONG, "1 thing is wrong.")
    assert said.lines == [{"part": "broker", "level": "error", "message": "no answer", "hint": "is it up?"}]


# tail


def test_what_happens_is_followed_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [failed(), failed()]

    def happen(self: Tail) -> list[Happening]:
        found = page(Filter(ids=tuple(row.pk for row in rows)), limit=2).rows
        return [Happening(at=BEGAN, what="failed", event=row, message="Unknown topic") for row in found]

    monkeypatch.setattr(Tail, "poll", happen)
    monkeypatch.setattr("outbox.management.subcommands.tail.POLL_SECONDS", 0)
    said = Said("tail", "--limit", "3")
    assert said.code == OK
    assert [line.split()[2] for line in said.out.splitlines()] == ["failed"] * 3
    assert "topic: Unknown topic" in said.out
    assert [line["what"] for line in Said("tail", "--limit", "1", "--json").lines] == ["failed"]


def test_ctrl_c_ends_following_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Tail) -> list[Happening]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tail, "poll", interrupt)
    assert Said("tail").code == OK


# mistakes


def test_ctrl_c_elsewhere_ends_as_shells_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("outbox.operations.listing.page", interrupt)
    with pytest.raises(SystemExit) as ended:
        Said("list")
    assert ended.value.code == 130


def test_an_error_in_the_midst_says_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    failed()

    def fail(given: Filter, *, progress: Any, **_: object) -> Progress:
        progress(Progress(changed=1, next="acme/1/1", up_to_id=2))
        raise OperationalError("the server is gone")

    monkeypatch.setattr("outbox.operations.replay.replay", fail)
    said = Said("replay", "--all", "--reason", "x", "--yes")
    assert (said.code, "did not answer: the server is gone" in said.complaint) == (WRONG, True)
    assert "Replayed 1 events so far" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("list", "--older-than", "5"),
        ("list", "--older-than", "m"),
        ("list", "--older-than", "9" * 30 + "w"),
        ("list", "--status", "lost"),
        ("list", "--limit", "0"),
        ("list", "--limit", "many"),
        ("list", "--database", "nope"),
        ("show", "x"),
        ("replay", "--id", "-1"),
        ("frobnicate",),
    ],
)
def test_an_argument_that_cannot_be_meant_is_refused_before_anything_else(words: tuple[str, ...]) -> None:
    said = Said(*words)
    assert said.code != OK
    assert said.complaint
    assert said.out == ""


def test_an_age_beyond_all_events_is_a_usage_error() -> None:
    assert "'999999w' is too long: at most 36500d" in Said("list", "--older-than", "999999w").complaint


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--tenant", "\udce9"],
        ["list", "--topic", "caf\udce9"],
        ["discard", "--all", "--reason", "caf\udce9", "--yes"],
        ["pause", "--reason", "caf\udce9", "--yes"],
        ["resume", "--reason", "caf\udce9", "--yes"],
        ["stats", "--tenant", "\udce9"],
        ["list", "--after", "\udce9"],
    ],
)
def test_what_is_no_utf8_is_a_usage_error_that_names_it(words: list[str]) -> None:
    said = Said(*words)
    (name,) = [before for before, word in itertools.pairwise(words) if "\udce9" in word]
    assert said.code == USAGE
    assert said.complaint.startswith(f"{name.removeprefix('--')}='")
    assert "\\xe9' is no UTF-8" in said.complaint
    assert not OperatorAction.objects.exists()


def test_a_process_that_is_given_no_utf8_says_so_without_a_traceback(start_manage: StartManage) -> None:
    process = start_manage("outbox", "list", "--tenant", os.fsdecode(b"\xe9"))
    assert process.wait(timeout=60) == USAGE
    assert "CommandError: tenant='\\xe9' is no UTF-8" in process.output()
    assert "Traceback" not in process.output()


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--limit", MOST],
        ["list", "--id", MOST],
        ["jobs", "--limit", MOST],
        ["jobs", "show", MOST],
        ["prune", "--limit", MOST, "--seconds", MOST, "--dry-run"],
        ["replay", "--all", "--limit", MOST, "--dry-run"],
        ["replay", "--all", "--job", "--rate", "nan", "--reason", "x", "--yes"],
        ["replay", "--all", "--job", "--rate", "inf", "--reason", "x", "--yes"],
        ["relay", "--patience", "nan"],
        ["pause", "--reason", "x", "--yes", "--until", "9999-12-31T23:59-12:00"],
        ["pause", "--reason", "x", "--yes", "--until", "0001-01-01T00:00+12:00"],
        ["pause", "--reason", "x", "--yes", "--for", "99999999d"],
    ],
)
def test_no_number_or_date_is_so_large_that_there_is_a_traceback(words: list[str]) -> None:
    assert Said(*words).code in (OK, WRONG, USAGE)
    assert not OperatorAction.objects.exists()


@pytest.mark.parametrize("end", [["--until", "9999-12-30T23:59Z"], ["--for", "36500d"]])
def test_the_longest_pause_can_be_shown(end: list[str]) -> None:
    assert re.fullmatch(
        r"Paused everyone until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\n", Said("pause", "--reason", "x", "--yes", *end).out
    )
    (held,) = pauses()
    assert held.until is not None
    assert Said("resume", "--yes").code == OK


def test_a_database_without_the_tables_says_what_to_run() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE outbox_events RENAME TO outbox_events_gone")
    said = Said("list")
    assert said.code == WRONG
    assert "manage.py migrate --database=default" in said.complaint


@pytest.mark.parametrize(
    ("text", "length"),
    [("90s", 90), ("5m", 300), ("2h", 7_200), ("1d", 86_400), ("1w", 604_800), ("1h30m", 5_400)],
)
def test_durations_are_read(text: str, length: int) -> None:
    assert values.duration(text) == timedelta(seconds=length)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (61, "1m1s"), (3_600, "1h"), (90_061, "1d1h"), (-5, "0s")]
)
def test_durations_are_written(seconds: int, text: str) -> None:
    assert output.age(timedelta(seconds=seconds)) == text


def test_an_account_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nobody)
    assert people.operator().name.startswith("uid-")


def test_progress_on_a_terminal_stays_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    err = StringIO()
    meanwhile = terminal.Meanwhile(BaseCommand(stderr=err))
    meanwhile.say("100 events")
    meanwhile.say("200 events")
    meanwhile.end()
    assert err.getvalue().count("\n") == 0
    assert "\r200 events" in err.getvalue()
