from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from circuits.models import TenantCircuit
from outbox.models import OutboxLane, OutboxRelay, TenantPolicy
from outbox.operations import freshness
from outbox.operations.overview import CircuitNow, Overview, TenantRow, overview
from outbox.operations.series import Span
from tests.outbox.operations.minutes import counted, minute

pytestmark = pytest.mark.django_db

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
CONTROL = ("SAVEPOINT", "RELEASE", "SET LOCAL", "SELECT current_setting", "SELECT set_config", "BEGIN", "COMMIT")


def look(*tenants: str, **options: Any) -> Overview:
    return overview(tenants=tenants or None, **{"span": Span.QUARTER, **options})


def rows(*tenants: str, **options: Any) -> dict[str, TenantRow]:
    return {row.tenant_id: row for row in look(*tenants, **options).tenants}


def circuit(tenant: str, **columns: Any) -> None:
    values = {"name": "publish", "state": "open", "open_until": FAR, **columns}
    TenantCircuit.objects.create(tenant_id=tenant, **values)


def waiting(pending: int = 1, *, since: datetime = LONG_AGO, **columns: int) -> dict[str, Any]:
    return {"pending": pending, "oldest_pending_at": since, **columns}


# The figures


def test_before_anything_was_counted_nothing_is_known() -> None:
    found = look()
    assert (found.taken_at, found.age, found.pending, found.tenants, found.relays) == (None, None, 0, (), ())
    assert (found.everyone.state, found.pause) == ("closed", None)


def test_figures_are_those_of_the_last_count() -> None:
    counted(
        {
            "a": waiting(5, failed=2),
            "b": waiting(3, since=LONG_AGO - timedelta(days=1), scheduled=4),
            "c": {"failed": 1},
        }
    )
    found = look()
    assert (found.tenants_waiting, found.pending, found.scheduled, found.failed) == (2, 8, 4, 3)
    assert found.oldest_pending_at == LONG_AGO - timedelta(days=1)
    assert found.age is not None


def test_for_some_tenants_every_number_is_theirs_alone() -> None:
    counted({"a": waiting(5, failed=2), "b": waiting(3, scheduled=4), "c": waiting(100, failed=50)})
    circuit("c")
    circuit("b", name="memory")
    minute("*", 0, sent=1_000)
    found = look("a", "b")
    assert (found.tenants_waiting, found.pending, found.scheduled, found.failed) == (2, 8, 4, 2)
    assert (found.blocked, found.open_circuits) == (0, 1)
    assert {row.tenant_id for row in found.tenants} == {"a", "b"}


def test_tenants_that_nobody_has_heard_of_have_nothing() -> None:
    counted({"a": waiting(5)})
    found = look("nobody")
    assert (found.pending, found.oldest_pending_at, found.failed, found.tenants_waiting) == (0, None, 0, 0)
    assert [row.tenant_id for row in found.tenants] == ["nobody"]


def test_limited_to_no_tenant_there_is_nothing_to_see() -> None:
    counted({"a": waiting(5)})
    minute("*", 0, sent=5)
    found = overview(tenants=[], span=Span.QUARTER)
    assert (found.pending, found.tenants) == (0, ())


def test_what_waits_behind_open_circuits_is_blocked() -> None:
    counted({"a": waiting(5), "b": waiting(7), "c": waiting(9)})
    circuit("a")
    circuit("b", open_until=LONG_AGO)
    circuit("c", name="memory")
    found = look()
    assert (found.blocked, found.open_circuits) == (5, 2)
    assert {name: row.blocked for name, row in rows().items()} == {"a": 5, "b": 0, "c": 0}


def test_behind_the_open_circuit_of_everyone_everything_is_blocked_until_its_interval_is_over() -> None:
    counted({"a": waiting(5), "b": waiting(7)})
    circuit("*")
    found = look()
    assert (found.blocked, found.open_circuits) == (12, 0)
    assert {row.blocked for row in found.tenants} == {5, 7}
    TenantCircuit.objects.update(open_until=LONG_AGO)
    assert (look().blocked, {row.blocked for row in rows().values()}) == (0, {0})


def test_behind_the_circuit_of_everyone_that_staff_hold_open_everything_is_blocked() -> None:
    counted({"a": waiting(5), "b": waiting(7)})
    circuit("*", state="closed", open_until=None, override="forced_open", override_by="ann", override_until=FAR)
    found = look()
    assert found.everyone == CircuitNow(name="publish", state="forced_open", open_until=FAR)
    assert (found.everyone.is_open, found.blocked, found.open_circuits) == (True, 12, 0)
    assert look("a").blocked == 5
    assert {row.blocked for row in found.tenants} == {5, 7}


def test_the_pause_of_everyone_is_told_to_all() -> None:
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="ann", paused_reason="broker move")
    for found in (look(), look("a")):
        assert found.pause is not None
        assert (found.pause.by, found.pause.reason, found.pause.of_everyone) == ("ann", "broker move", True)


def test_a_pause_that_is_over_is_none() -> None:
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_until=LONG_AGO)
    TenantPolicy.objects.create(tenant_id="a", paused=True, paused_until=LONG_AGO)
    counted({"a": waiting()})
    assert look().pause is None
    assert not rows()["a"].paused


def test_relays_are_those_that_are_listed_alive_or_not() -> None:
    now = timezone.now()
    OutboxRelay.objects.create(host="b", pid=1, version="1", rate=10, heartbeat_at=now)
    OutboxRelay.objects.create(host="a", pid=2, version="1", rate=5, heartbeat_at=LONG_AGO)
    found = look()
    assert [(each.host, each.alive) for each in found.relays] == [("a", False), ("b", True)]
    assert found.rate == 10


# Tenants, worst first


def names(**options: Any) -> list[str]:
    return [row.tenant_id for row in look(**options).tenants]


def test_trouble_comes_before_dead_letters_and_these_before_all_else() -> None:
    fresh = timezone.now() + timedelta(hours=1)
    counted(
        {"busy": waiting(500, since=fresh), "dead": {"failed": 9}, "late": waiting(1), "open": waiting(2, since=fresh)}
    )
    circuit("open")
    minute("failing", 0, failed_attempts=3)
    OutboxLane.objects.create(tenant_id="quiet")
    assert names() == ["late", "open", "failing", "dead", "busy", "quiet"]


def test_among_those_in_trouble_who_waits_longest_comes_first_and_then_the_name() -> None:
    earlier = LONG_AGO - timedelta(hours=1)
    counted({"c": waiting(1), "b": waiting(1), "a": waiting(1), "z": waiting(1, since=earlier)})
    assert names() == ["z", "a", "b", "c"]


def test_each_kind_of_trouble_is_found_however_many_tenants_wait() -> None:
    fresh = timezone.now() + timedelta(hours=1)
    counted({**{f"t{n:03d}": waiting(1, since=fresh) for n in range(100)}, "dead": {"failed": 3}})
    circuit("zz-open")
    minute("zz-failing", 0, failed_attempts=3)
    assert names(most=3) == ["zz-failing", "zz-open", "dead"]


def test_no_more_rows_come_than_asked_for() -> None:
    counted({**{f"t{n:03d}": waiting() for n in range(30)}})
    assert len(names(most=7)) == 7
    assert len(look(*[f"t{n:03d}" for n in range(30)], most=7).tenants) == 7


def test_a_tenant_that_is_just_busy_is_listed_with_what_it_sends() -> None:
    minute("busy", 0, sent=30)
    minute("busy", 2, sent=10)
    minute("_other", 0, sent=9)
    (row,) = look().tenants
    assert (row.tenant_id, row.pending, row.spark[-3:]) == ("busy", 0, (10, 0, 30))


def test_a_circuit_that_is_open_is_told_before_that_of_publishing() -> None:
    counted({"a": waiting(), "b": waiting(), "c": waiting()})
    circuit("a", name="memory")
    circuit("a", state="closed", open_until=None)
    circuit("b", state="closed", open_until=None)
    found = rows()
    assert found["a"].circuit == CircuitNow(name="memory", state="open", open_until=FAR)
    assert found["b"].circuit == CircuitNow(name="publish", state="closed", open_until=None)
    assert found["c"].circuit == CircuitNow(name="publish", state="closed", open_until=None)


def test_share_of_quota_is_what_the_last_minute_took_of_the_rate() -> None:
    TenantPolicy.objects.create(tenant_id="a", rate=2)
    TenantPolicy.objects.create(tenant_id="idle", rate=2)
    minute("a", 0, sent=60)
    minute("b", 0, sent=60)
    counted({"idle": waiting()})
    found = rows()
    assert found["a"].quota_used == pytest.approx(0.5)
    assert found["b"].quota_used is None
    assert found["idle"].quota_used == 0


def test_what_failed_in_the_minute_before_counts_for_as_much_as_is_left_of_it() -> None:
    minute("a", 0, failed_attempts=5)
    minute("a", 1, failed_attempts=60)
    minute("a", 2, failed_attempts=1_000)
    assert 5 <= rows()["a"].failed_per_minute <= 65


def test_a_tenant_that_is_paused_says_so() -> None:
    TenantPolicy.objects.create(tenant_id="a", paused=True, paused_until=FAR)
    counted({"a": waiting(), "b": waiting()})
    found = rows()
    assert [(found[name].paused, found[name].paused_until) for name in "ab"] == [(True, FAR), (False, None)]


# What it costs


def asked(**options: Any) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        overview(**{"tenants": None, "span": Span.DAY, **options})
    return [each["sql"] for each in queries if not each["sql"].strip().startswith(CONTROL)]


@pytest.mark.parametrize("tenants", [0, 10, 300])
def test_three_queries_whoever_asks_and_however_much_there_is(tenants: int) -> None:
    counted({**{f"t{n:03d}": waiting() for n in range(tenants)}})
    for n in range(tenants):
        circuit(f"t{n:03d}")
        minute(f"t{n:03d}", n % 60, sent=1)
    for scope in (None, ["t001"], [f"t{n:03d}" for n in range(tenants)]):
        assert len(asked(tenants=scope)) == 3


# Old counts


def test_a_fresh_count_is_left_alone(django_capture_on_commit_callbacks: Any) -> None:
    counted({"a": waiting()}, seconds_ago=10)
    with django_capture_on_commit_callbacks() as callbacks:
        look()
    assert callbacks == []


@pytest.mark.parametrize("seconds_ago", [20, None])
def test_with_an_old_count_this_process_counts_once_the_transaction_is_over(
    seconds_ago: float | None, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    asked_for = []
    monkeypatch.setattr(freshness, "count_soon", lambda *, using: asked_for.append(using))
    if seconds_ago is not None:
        counted({"a": waiting()}, seconds_ago=seconds_ago)
    with django_capture_on_commit_callbacks(execute=True):
        look()
        assert asked_for == []
    assert asked_for == ["default"]
