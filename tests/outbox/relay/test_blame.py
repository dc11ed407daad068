"""Whose fault a failure is."""

from __future__ import annotations

import pytest

from outbox.relay.blame import GRACE_SECONDS, WINDOW_SECONDS, Blame, TopicTrouble, blame, may_be_blamed
from outbox.relay.failures import Disposition, FailureClass

RETRY, DEAD, NEUTRAL, ISOLATE = Disposition.RETRY, Disposition.DEAD, Disposition.NEUTRAL, Disposition.ISOLATE
OLD = GRACE_SECONDS


@pytest.mark.parametrize(
    ("failure", "disposition", "suspect"),
    [
        (FailureClass.POISON, DEAD, False),
        (FailureClass.POISON, RETRY, False),
        (FailureClass.POISON, ISOLATE, False),
        (FailureClass.BROKER, NEUTRAL, False),
        (FailureClass.PROCESS, NEUTRAL, False),
        (FailureClass.TRANSIENT, NEUTRAL, False),
        (FailureClass.AMBIGUOUS, NEUTRAL, False),  # no metadata probe was answered
        (FailureClass.AMBIGUOUS, RETRY, True),
        (FailureClass.AMBIGUOUS, DEAD, True),
        (FailureClass.TOPIC, RETRY, True),
        (FailureClass.TOPIC, DEAD, True),
    ],
)
def test_who_may_be_blamed_at_all(failure: FailureClass, disposition: Disposition, suspect: bool) -> None:
    assert may_be_blamed(failure, disposition) is suspect


@pytest.mark.parametrize(
    ("suspect", "tenants", "age", "again", "expected"),
    [
        (False, 1, OLD, True, Blame.NOBODY),
        (False, 5, OLD, False, Blame.NOBODY),
        (True, 1, 0.0, False, Blame.NOBODY),
        (True, 1, OLD, False, Blame.TENANT),
        (True, 1, 0.0, True, Blame.TENANT),
        (True, 2, OLD, False, Blame.TOPIC),
        (True, 2, 0.0, True, Blame.TOPIC),
    ],
)
def test_the_table(suspect: bool, tenants: int, age: float, again: bool, expected: Blame) -> None:
    assert blame(suspect=suspect, tenants=tenants, age=age, again=again) is expected


def test_trouble_is_shared_while_another_tenants_failure_is_recent() -> None:
    trouble = TopicTrouble()
    trouble.note("orders", "acme", 0.0)
    trouble.note("orders", "globex", 60.0)
    trouble.note("news", "acme", 60.0)
    assert trouble.tenants("orders", 60.0) == 2
    assert trouble.tenants("news", 60.0) == 1
    assert trouble.tenants("orders", WINDOW_SECONDS) == 1


def test_trouble_has_the_age_of_its_first_failure() -> None:
    trouble = TopicTrouble()
    for at in (10.0, 50.0, 100.0):
        trouble.note("orders", "acme", at)
    assert trouble.age("orders", 100.0) == 90.0
    trouble.note("orders", "acme", 100.0 + WINDOW_SECONDS)
    assert trouble.age("orders", 100.0 + WINDOW_SECONDS) == 0.0
    assert trouble.age("another", 7.0) == 0.0


def test_the_database_is_asked_for_a_topic_now_and_then_until_another_tenant_is_known() -> None:
    trouble = TopicTrouble()
    trouble.note("orders", "acme", 0.0)
    assert trouble.to_ask_for(["orders"], 0.0, every=1.0) == ["orders"]
    assert trouble.to_ask_for(["orders"], 0.9, every=1.0) == []
    assert trouble.to_ask_for(["orders"], 1.0, every=1.0) == ["orders"]
    trouble.note("orders", "globex", 1.5)
    assert trouble.to_ask_for(["orders"], 9.0, every=1.0) == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.relay.blame.MOST_TOPICS", 10)
    trouble = TopicTrouble()
    for number in range(30):
        trouble.note(f"topic-{number}", "acme", 0.0)
    assert len(trouble._tenants) <= 10
    assert trouble.tenants("topic-29", 0.0) == 1
