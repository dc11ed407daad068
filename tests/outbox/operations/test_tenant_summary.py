from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from circuits.models import CircuitTransition, TenantCircuit
from outbox.models import EventStatus, OutboxLane, TenantPolicy
from outbox.operations import tenant_summary as module
from outbox.operations.audit import record
from outbox.operations.series import Span
from outbox.operations.tenant_summary import FailureGroup, TenantSummary, tenant_summary
from tests.outbox.operations.minutes import counted, minute
from tests.outbox.operations.rows import ANN, BEGAN, event, failed
from tests.outbox.operations.test_overview import CONTROL

pytestmark = pytest.mark.django_db

FAR = datetime(2100, 1, 1, tzinfo=UTC)


def look(tenant: str = "acme", *, span: Span = Span.QUARTER) -> TenantSummary:
    return tenant_summary(tenant_id=tenant, span=span)


def transition(tenant: str, name: str, to: str) -> None:
    CircuitTransition.objects.create(
        tenant_id=tenant, name=name, from_state="closed", to_state=to, why="failures", epoch=1
    )


def test_figures_are_those_of_the_last_count() -> None:
    counted(
        {"acme": {"pending": 5, "oldest_pending_at": BEGAN, "scheduled": 2, "failed": 1}, "other": {"pending": 100}}
    )
    found = look()
    assert (found.pending, found.oldest_pending_at, found.scheduled, found.failed) == (5, BEGAN, 2, 1)
    assert (found.blocked, found.taken_at is not None) == (0, True)


@pytest.mark.parametrize("whose", ["acme", "*"])
def test_what_waits_behind_an_open_circuit_is_blocked(whose: str) -> None:
    counted({"acme": {"pending": 5}})
    TenantCircuit.objects.create(tenant_id=whose, name="publish", state="open", open_until=FAR)
    assert look().blocked == 5


@pytest.mark.parametrize("kind", ["policy", "lane", "circuit", "event", "count"])
def test_a_tenant_is_known_by_whatever_the_database_has_of_it(kind: str) -> None:
    match kind:
        case "policy":
            TenantPolicy.objects.create(tenant_id="acme")
        case "lane":
            OutboxLane.objects.create(tenant_id="acme")
        case "circuit":
            TenantCircuit.objects.create(tenant_id="acme", name="memory")
        case "event":
            event()
        case "count":
            counted({"acme": {"pending": 1}})
    assert look().known
    assert not look("acm").known


def test_without_a_policy_the_defaults_hold(settings: Settings) -> None:
    settings.OUTBOX_RETENTION_DAYS = 11
    policy = look().policy
    assert (policy.own, policy.weight, policy.rate, policy.batch_quota, policy.backlog_limit) == (
        False,
        1,
        None,
        None,
        None,
    )
    assert (policy.retention_days, policy.retention_is_own) == (11, False)


def test_a_policy_of_its_own_and_how_much_of_its_rate_it_used() -> None:
    TenantPolicy.objects.create(tenant_id="acme", weight=2, rate=2, batch_quota=3, backlog_limit=4, retention_days=5)
    minute("acme", 0, sent=60, failed_attempts=7)
    found = look()
    policy = found.policy
    assert (policy.own, policy.weight, policy.rate, policy.batch_quota, policy.backlog_limit) == (True, 2, 2, 3, 4)
    assert (policy.retention_days, policy.retention_is_own) == (5, True)
    assert found.failed_per_minute == 7
    assert found.quota_used == pytest.approx(0.5)


def test_pauses_of_its_own_and_of_everyone() -> None:
    TenantPolicy.objects.create(tenant_id="acme", paused=True, paused_by="ann", paused_reason="why", paused_until=FAR)
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="bob", paused_reason="all")
    found = look()
    assert found.pause is not None
    assert (found.pause.by, found.pause.reason, found.pause.until) == ("ann", "why", FAR)
    assert found.pause_of_everyone is not None
    assert (found.pause_of_everyone.by, found.pause_of_everyone.of_everyone) == ("bob", True)
    assert look("other").pause is None


def test_circuits_with_their_thresholds_and_what_moved_them() -> None:
    TenantCircuit.objects.create(tenant_id="acme", name="publish", failure_threshold=7, state="open", open_until=FAR)
    TenantCircuit.objects.create(tenant_id="acme", name="memory")
    for tenant, name, to in (("acme", "publish", "a"), ("acme", "memory", "b"), ("other", "publish", "c")):
        transition(tenant, name, to)
    found = look()
    assert [(each.name, each.state, each.policy.failure_threshold) for each in found.circuits] == [
        ("memory", "closed", 5),
        ("publish", "open", 7),
    ]
    assert [each.to_state for each in found.history] == ["b", "a"]


def test_the_history_of_a_circuit_is_told_though_nothing_is_left_of_it() -> None:
    transition("acme", "publish", "open")
    assert [each.to_state for each in look().history] == ["open"]


def test_failures_are_grouped_by_class_and_topic_with_the_last_message() -> None:
    failed(1, last_error="first")
    failed(2, last_error="last")
    failed(3, topic="bills", error_class="poison")
    failed(4, tenant_id="other")
    event(5, status=EventStatus.SCHEDULED, attempts=2, error_class="topic", last_error="again")
    event(6, status=EventStatus.SCHEDULED)
    groups = look().failures.groups
    assert [(each.error_class, each.topic, each.dead_letters, each.retrying) for each in groups] == [
        ("topic", "orders", 2, 1),
        ("poison", "bills", 1, 0),
    ]
    assert groups[0].message == "again"
    assert isinstance(groups[0], FailureGroup)


def test_of_very_many_failures_the_last_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FAILURES", 2)
    failed(1, error_class="old")
    failed(2)
    assert not look("other").failures.more
    failed(3)
    found = look().failures
    assert [(each.error_class, each.dead_letters) for each in found.groups] == [("topic", 2)]
    assert found.more


def test_what_operators_did_about_it_the_newest_first() -> None:
    for tenant, verb in (("acme", "pause"), ("other", "pause"), ("acme", "resume")):
        record(by=ANN, verb=verb, using="default", tenants=[tenant])
    assert [each.verb for each in look().actions] == ["resume", "pause"]


def test_its_chart_is_its_own() -> None:
    minute("acme", 0, sent=3)
    minute("*", 0, sent=100)
    assert look().points[-1].sent == 3


def asked(tenant: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        look(tenant, span=Span.DAY)
    return [each["sql"] for each in queries if not each["sql"].strip().startswith(CONTROL)]


@pytest.mark.parametrize("size", [0, 40])
def test_five_queries_whatever_its_size(size: int) -> None:
    counted({"acme": {"pending": size}})
    for n in range(size):
        failed(n)
        minute("acme", n, sent=1)
        transition("acme", f"name-{n % 3}", "open")
        record(by=ANN, verb="pause", using="default", tenants=["acme"])
    for n in range(min(size, 3)):
        TenantCircuit.objects.create(tenant_id="acme", name=f"name-{n}")
    assert len(asked("acme")) == 5


def test_whoever_limits_statements_further_is_heeded() -> None:
    values: dict[str, Any] = {}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '1s'")
        look()
        cursor.execute("SHOW statement_timeout")
        values["timeout"] = cursor.fetchone()[0]
    assert values == {"timeout": "1s"}
