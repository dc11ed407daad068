"""Pauses of one and of all, and their record."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from outbox.models import OperatorAction, OutboxLane, TenantPolicy
from outbox.operations.audit import NoReason
from outbox.operations.bulk import STEERING_CHANNEL
from outbox.operations.listing import database_now
from outbox.operations.pause import InvalidPause, is_known, pause, pauses, resume
from tests.outbox.operations.rows import ANN, event
from tests.support.database import url

pytestmark = pytest.mark.django_db


def test_a_tenant_is_paused_with_who_and_why() -> None:
    held = pause(tenant_id="acme", reason="their import", by=ANN)
    assert pauses() == (held,)
    assert (held.tenant_id, held.by, held.reason, held.until, held.of_everyone) == (
        "acme",
        "ann",
        "their import",
        None,
        False,
    )


def test_without_a_tenant_everyone_is_paused() -> None:
    pause(tenant_id="acme", reason="their import", by=ANN)
    held = pause(tenant_id=None, reason="Kafka is moved", by=ANN)
    assert held.of_everyone
    assert [each.tenant_id for each in pauses()] == ["*", "acme"]
    assert TenantPolicy.objects.get(pk="*").paused


def test_a_pause_leaves_the_rest_of_a_policy_alone() -> None:
    TenantPolicy.objects.create(tenant_id="acme", weight=3, rate=5)
    pause(tenant_id="acme", reason="their import", by=ANN)
    resume(tenant_id="acme", by=ANN)
    policy = TenantPolicy.objects.get()
    assert (policy.weight, policy.rate, policy.paused, policy.paused_by, policy.paused_reason) == (3, 5, False, "", "")


def test_a_pause_that_is_over_is_none() -> None:
    held = pause(tenant_id="acme", reason="their import", by=ANN, until=database_now() + timedelta(hours=1))
    assert pauses() == (held,)
    TenantPolicy.objects.update(paused_until=database_now() - timedelta(seconds=1))
    assert pauses() == ()
    assert resume(tenant_id="acme", by=ANN) is False
    assert not TenantPolicy.objects.get().paused


def test_an_end_in_the_past_is_refused() -> None:
    with pytest.raises(InvalidPause, match="over already"):
        pause(tenant_id=None, reason="a move", by=ANN, until=database_now() - timedelta(seconds=1))
    assert not TenantPolicy.objects.exists()


def test_a_reason_is_asked_for() -> None:
    with pytest.raises(NoReason):
        pause(tenant_id=None, reason=" ", by=ANN)


def test_resuming_everyone_leaves_tenants_paused() -> None:
    pause(tenant_id=None, reason="a move", by=ANN)
    pause(tenant_id="acme", reason="their import", by=ANN)
    assert resume(tenant_id=None, by=ANN) is True
    assert [each.tenant_id for each in pauses()] == ["acme"]


def test_resuming_what_is_not_paused_says_so_and_records_nothing() -> None:
    TenantPolicy.objects.create(tenant_id="acme")
    assert resume(tenant_id="acme", by=ANN) is False
    assert resume(tenant_id=None, by=ANN) is False
    assert not OperatorAction.objects.exists()


def test_both_are_recorded_with_what_was_before() -> None:
    pause(tenant_id="acme", reason="their import", by=ANN)
    resume(tenant_id="acme", reason="it is done", by=ANN)
    first, second = OperatorAction.objects.order_by("id")
    assert (first.verb, first.reason, first.filter) == ("pause", "their import", {"tenant": "acme"})
    assert (first.before or {})["paused"] is False
    assert (first.after or {})["paused_by"] == "ann"
    assert (second.verb, second.reason, second.before) == ("resume", "it is done", first.after)


@pytest.mark.django_db(transaction=True)
def test_relays_hear_of_it_at_the_commit() -> None:
    with psycopg.connect(url(), autocommit=True) as listener:
        listener.execute(f"LISTEN {STEERING_CHANNEL}")
        pause(tenant_id=None, reason="a move", by=ANN)
        assert [each.channel for each in listener.notifies(timeout=30, stop_after=1)] == [STEERING_CHANNEL]


def test_a_tenant_is_known_by_its_events_its_lane_or_its_policy() -> None:
    event(tenant_id="with-event")
    OutboxLane.objects.create(tenant_id="with-lane")
    TenantPolicy.objects.create(tenant_id="with-policy")
    assert [is_known(name) for name in ("with-event", "with-lane", "with-policy", "nobody")] == [True] * 3 + [False]
