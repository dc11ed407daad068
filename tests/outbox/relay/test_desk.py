"""What is told of circuits, and that nothing which goes wrong there comes back."""

from __future__ import annotations

import threading

import pytest

from circuits import api
from circuits.api import CircuitOpen, Outcome, OutcomeKind, Permit
from outbox.relay.desk import MOST_CALLS, Desk, Leave, outcomes
from outbox.relay.settle import CircuitReport
from tests.support.waiting import wait_until

SUCCEEDED, FAILED, IGNORED = OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.IGNORED


def report(*, acknowledged: int = 0, failed: int = 0, probe: bool = False) -> CircuitReport:
    return CircuitReport("acme", 1, 7, probe=probe, acknowledged=acknowledged, failed=["no"] * failed)


def kinds(*, in_a_row: bool = True, **told: int | bool) -> list[OutcomeKind]:
    return [each.outcome for each in outcomes(report(**told), in_a_row=in_a_row)]  # type: ignore[arg-type]


def test_failures_alone_are_failures_in_a_row() -> None:
    (told,) = outcomes(report(failed=1), in_a_row=True)
    assert told == Outcome(tenant_id="acme", name="publish", outcome=FAILED, epoch=7, error_code="no")
    assert kinds(failed=3) == [FAILED] * 3


def test_a_tenant_of_which_something_is_acknowledged_does_not_fail_in_a_row() -> None:
    assert kinds(failed=30, acknowledged=1) == [SUCCEEDED]
    assert kinds(acknowledged=500) == [SUCCEEDED]


def test_where_the_rate_counts_both_are_told_and_the_rate_is_kept() -> None:
    assert kinds(in_a_row=False, failed=2, acknowledged=3) == [FAILED] * 2 + [SUCCEEDED] * 3
    told = kinds(in_a_row=False, failed=1_000, acknowledged=3_000)
    assert len(told) <= MOST_CALLS
    assert told.count(FAILED) * 3 == told.count(SUCCEEDED)
    assert FAILED in kinds(in_a_row=False, failed=1, acknowledged=100_000)


@pytest.mark.parametrize(
    ("told", "verdict"),
    [({"acknowledged": 1}, SUCCEEDED), ({"failed": 1}, FAILED), ({}, IGNORED)],
)
def test_a_probe_ends_in_one_of_three_ways(told: dict[str, int], verdict: OutcomeKind) -> None:
    (found,) = outcomes(report(probe=True, **told), in_a_row=True)
    assert (found.outcome, found.probe, found.epoch) == (verdict, True, 7)


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


def ask(desk: Desk, woken: threading.Event) -> Leave:
    desk.ask(tenant="acme", token=5)
    assert woken.wait(60)
    desk.close()
    (answer,) = desk.answers()
    return answer


def test_leave_is_asked_for_afresh_and_answered(monkeypatch: pytest.MonkeyPatch, woken: threading.Event) -> None:
    asked = []

    def acquire(**what: object) -> Permit:
        asked.append(what)
        return Permit(epoch=9, probe=True)

    monkeypatch.setattr(api, "acquire", acquire)
    answer = ask(Desk(wake=woken.set), woken)
    assert answer == Leave(tenant="acme", token=5, granted=True, epoch=9, probe=True)
    assert asked == [{"tenant_id": "acme", "name": "publish", "fresh": True}]


@pytest.mark.parametrize("error", [CircuitOpen("acme", "publish", "open", 3.0), RuntimeError("broken")])
def test_whatever_goes_wrong_there_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, woken: threading.Event, error: Exception
) -> None:
    def refuse(**_: object) -> Permit:
        raise error

    monkeypatch.setattr(api, "acquire", refuse)
    assert not ask(Desk(wake=woken.set), woken).granted


def test_the_broker_is_said_to_be_gone_again_and_again_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.relay.desk.AGAIN_SECONDS", 0.01)
    said: list[tuple[bool, bool]] = []

    def found(*, well: bool, still: bool = False, **_: object) -> bool:
        said.append((well, still))
        if len(said) == 2:
            raise RuntimeError("broken")
        return True

    monkeypatch.setattr(api, "found", found)
    desk = Desk(wake=lambda: None)
    desk.broker(gone=True)
    wait_until(lambda: len(said) > 3)
    desk.broker(gone=False)
    desk.close()
    assert said[0] == (False, False)
    assert set(said[1:-1]) == {(False, True)}
    assert said[-1] == (True, False)
