"""`manage.py circuits`, as people and programs use it."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection

from circuits.models import CircuitTransition, TenantCircuit
from circuits.operations import listing
from tests.circuits.marks import on_database

pytestmark = on_database


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("circuits", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def change(verb: str, *arguments: str, circuit: tuple[str, str] = ("acme", "memory")) -> str:
    return run(verb, *circuit, "--reason", "maintenance", "--yes", *arguments)


def refused(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as error:
        run(*arguments)
    return error.value


def shown() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("show", "acme", "memory", "--json"))
    return found


def test_a_circuit_is_forced_open_and_closed_and_left_to_itself() -> None:
    assert change("force-open") == "Forced open: circuit 'memory' of tenant 'acme'.\n"
    assert (shown()["state"], shown()["override_reason"]) == ("forced_open", "maintenance")
    change("force-closed")
    assert shown()["state"] == "forced_closed"
    change("auto")
    assert shown()["state"] == "closed"
    assert [each["to_state"] for each in shown()["history"]] == ["closed", "forced_closed", "forced_open"]
    assert all("@" in each["by"] and each["reason"] == "maintenance" for each in shown()["history"])


def test_what_is_forced_may_end_by_itself() -> None:
    change("force-open", "--for", "2h")
    circuit = TenantCircuit.objects.get()
    assert circuit.override_until is not None
    seconds = (circuit.override_until - CircuitTransition.objects.get().at).total_seconds()
    assert seconds == pytest.approx(7_200, abs=60)


def test_a_reset_closes_it() -> None:
    TenantCircuit.objects.create(
        tenant_id="acme", name="memory", state="open", open_until="2999-01-01T00:00:00Z", trips=3
    )
    change("reset")
    assert (shown()["state"], shown()["trips"]) == ("closed", 0)


def test_thresholds_are_set_and_given_back() -> None:
    change("set", "--failure-threshold", "3", "--reset-interval", "120", "--mode", "rate")
    found = shown()
    assert found["own_thresholds"] == {"failure_threshold": 3, "reset_interval": 120, "mode": "rate"}
    assert (found["thresholds"]["failure_threshold"], found["thresholds"]["max_reset_interval"]) == (3, 300)
    change("set", "--failure-threshold", "default")
    assert shown()["own_thresholds"] == {"reset_interval": 120, "mode": "rate"}
    (last, _) = CircuitTransition.objects.all()
    assert (last.why, last.reason) == ("thresholds", "maintenance (failure_threshold 3 -> default)")


def test_lists_are_filtered() -> None:
    change("force-open")
    change("set", "--decay", "5", circuit=("globex", "publish"))
    assert [line.split()[:3] for line in run("list").splitlines()[1:]] == [
        ["acme", "memory", "forced_open"],
        ["globex", "publish", "closed"],
    ]
    for filters in (["--state", "closed"], ["--tenant", "globex"], ["--name", "publish"]):
        (line,) = run("list", "--json", *filters).splitlines()
        assert json.loads(line)["tenant_id"] == "globex"


def test_lists_end_somewhere_and_say_so() -> None:
    TenantCircuit.objects.bulk_create(TenantCircuit(tenant_id=f"t{number}", name="memory") for number in range(3))
    assert "There are more: --limit 4" in run("list", "--limit", "2")
    assert run("list", "--tenant", "nobody") == "No circuit matches.\n"


def test_a_circuit_is_shown_to_people() -> None:
    change("force-open", "--until", "2999-01-01T00:00")
    text = run("show", "acme", "memory")
    assert "forced_open" in text
    assert "2999-01-01 00:00:00" in text
    assert any(line.split() == ["failure_threshold", "5", "default"] for line in text.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["show", "acme", "memory"], "Tenant 'acme' has no circuit 'memory'", 1),
        (["auto", "acme", "memory", "--reason", "x", "--yes"], "Tenant 'acme' has no circuit 'memory'", 1),
        (["reset", "acme", "memory", "--reason", "x", "--yes"], "Tenant 'acme' has no circuit 'memory'", 1),
        (["list", "--tenant", "\udce9"], "tenant='\\xe9' is no UTF-8", 2),
        (["show", "acme", "\udce9"], "name='\\xe9' is no UTF-8", 2),
        (["force-open", "acme", "memory", "--reason", "caf\udce9", "--yes"], "reason='caf\\xe9' is no UTF-8", 2),
        (["force-open", "acme", "memory", "--reason", " ", "--yes"], "reason='': say why", 2),
        (["force-open", "acme", "memory", "--reason", "x"], "There is no terminal to ask at: add --yes.", 2),
        (["force-open", "a b", "memory", "--reason", "x", "--yes"], "tenant_id='a b': up to 64 of A-Z", 2),
        (
            ["force-open", "acme", "memory", "--reason", "x", "--yes", "--until", "2020-01-01T00:00"],
            "must lie in the future",
            2,
        ),
        (["set", "acme", "memory", "--reason", "x", "--yes"], "Say which threshold to set", 2),
        (
            ["set", "acme", "memory", "--reason", "x", "--yes", "--failure-threshold", "0"],
            "failure_threshold=0: must be at least 1.",
            2,
        ),
        (
            ["set", "acme", "memory", "--reason", "x", "--yes", "--reset-interval", "301"],
            "reset_interval=301.0: must be at most max_reset_interval=300 (the default).",
            2,
        ),
        (
            ["set", "acme", "memory", "--reason", "x", "--yes", "--decay", "nan"],
            "decay=nan: must be finite.",
            2,
        ),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], said: str, code: int) -> None:
    error = refused(*arguments)
    assert said in str(error)
    assert "\n" not in str(error)
    assert error.returncode == code
    assert not TenantCircuit.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set", "acme", "memory", "--failure-threshold", "many"], "'many' is no whole number, and not 'default'"),
        (["set", "acme", "memory", "--mode", "guess"], "'guess' is neither consecutive nor rate"),
        (["force-open", "acme", "memory", "--for", "0s"], "'0s' is no duration"),
        (["force-open", "acme", "memory", "--for", "99999999d"], "'99999999d' is too long: at most 36500d"),
        (["force-open", "acme", "memory", "--until", "tomorrow"], "'tomorrow' is no time"),
        (["force-closed", "acme", "memory", "--until", "9999-12-31T23:59-12:00"], "is too far away"),
        (["list", "--limit", "0"], "'0' is no positive whole number"),
        (["show", "acme"], "the following arguments are required: NAME"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: list[str], said: str) -> None:
    assert said in str(refused(*arguments))


class TestAtATerminal:
    @pytest.fixture(autouse=True)
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", StringIO())
        for stream in ("stdin", "stderr"):
            monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)

    def answer(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setattr("sys.stdin.readline", lambda: text, raising=False)

    def test_people_are_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch, "Y\n")
        said = run("force-open", "acme", "memory", "--reason", "x")
        assert said.startswith("Force open circuit 'memory' of tenant 'acme'? [y/N] ")
        assert shown()["state"] == "forced_open"

    @pytest.mark.parametrize("text", ["n\n", "\n", ""])
    def test_who_does_not_agree_changes_nothing(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        self.answer(monkeypatch, text)
        error = refused("force-open", "acme", "memory", "--reason", "x")
        assert (str(error), error.returncode) == ("Nothing was changed.", 1)
        assert not TenantCircuit.objects.exists()


def test_a_database_that_fails_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise OperationalError("connection refused\n\tIs the server running?")

    monkeypatch.setattr(listing, "circuits", refuse)
    error = refused("list")
    assert str(error) == "The database did not answer: connection refused Is the server running?"
    assert error.returncode == 1


def test_a_database_without_the_tables_is_to_be_migrated() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE circuits_tenant_circuits RENAME TO hidden")
        try:
            assert "The database is not migrated: run manage.py migrate." in str(refused("list"))
        finally:
            cursor.execute("ALTER TABLE hidden RENAME TO circuits_tenant_circuits")


def test_whoever_is_interrupted_ends_like_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "circuits", interrupt)
    with pytest.raises(SystemExit) as ended:
        run("list")
    assert ended.value.code == 130


def test_old_moves_are_pruned_if_somebody_agrees() -> None:
    assert "add --yes" in str(refused("prune"))
    assert run("prune", "--yes") == "Deleted 0 moves.\n"
    assert json.loads(run("prune", "--yes", "--json")) == {"deleted": 0}


def test_a_history_that_is_kept_for_ever_is_not_pruned(settings: Any) -> None:
    settings.CIRCUITS_HISTORY_DAYS = None
    assert "kept for ever" in str(refused("prune", "--yes"))
