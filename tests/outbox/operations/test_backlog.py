from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from pytest_django import DjangoAssertNumQueries

from outbox import counting
from outbox.models import TenantBacklog
from outbox.operations.backlog import CountFailed, TenantFigures, snapshot
from tests.outbox.relay.conftest import Tables

NOW = timedelta(0)


def test_before_the_first_count_nothing_is_known(tables: Tables) -> None:
    found = snapshot()
    assert (found.taken_at, found.age, found.tenants) == (None, None, ())


def test_figures_are_those_of_the_last_count(tables: Tables) -> None:
    tables.add("k", created_at="2024-05-01")
    tables.add("k", "k", created_at="2024-06-01")
    tables.add("k", status="scheduled", available_at="2100-01-01")
    tables.add("k", tenant="zeta", status="failed")
    found = snapshot(refresh_if_older_than=NOW)
    may = datetime(2024, 5, 1, tzinfo=UTC)
    assert found.tenants == (
        TenantFigures(tenant_id="acme", pending=3, oldest_pending_at=may, scheduled=1, failed=0),
        TenantFigures(tenant_id="zeta", failed=1),
    )
    totals = found.totals
    assert (totals.tenants, totals.pending, totals.oldest_pending_at) == (1, 3, may)
    assert (totals.scheduled, totals.failed) == (1, 1)


def block(tables: Tables, tenant: str, **columns: str | None) -> None:
    values = {"state": "open", "open_until": "2100-01-01", **columns}
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    tables.execute(
        f"INSERT INTO circuits_tenant_circuits (tenant_id, name, {names}) VALUES (%(t)s, 'publish', {places})",  # noqa: S608
        t=tenant,
        **values,
    )


def test_what_waits_behind_an_open_circuit_is_blocked_as_of_now(tables: Tables) -> None:
    for tenant in ("open", "over", "closed"):
        tables.add("a", "b", tenant=tenant)
    block(tables, "open")
    block(tables, "over", open_until="2001-01-01")
    found = snapshot(refresh_if_older_than=NOW)
    assert {each.tenant_id: each.blocked for each in found.tenants} == {"open": 2, "over": 0, "closed": 0}
    assert (found.totals.blocked, found.totals.pending) == (2, 6)
    assert {each.tenant_id: each.blocked for each in with_blocked()} == {"open": 2, "over": 0, "closed": 0}


@pytest.mark.parametrize(
    ("columns", "blocked"),
    [
        ({}, 1),
        ({"override": "forced_open"}, 1),
        ({"state": "half_open", "open_until": None, "probe_until": "2100-01-01"}, 1),
        ({"open_until": "2001-01-01"}, 0),
        ({"state": "half_open", "open_until": None}, 0),
        ({"override": "forced_closed"}, 0),
    ],
)
def test_everything_is_blocked_while_the_circuit_of_all_lets_nothing_through(
    tables: Tables, columns: dict[str, str | None], blocked: int
) -> None:
    """Relays say again and again that the broker is gone. Once nobody does, nothing is said to be blocked."""
    tables.add("a")
    block(tables, "*", **columns)
    assert snapshot(refresh_if_older_than=NOW).totals.blocked == blocked
    assert [each.blocked for each in with_blocked()] == [blocked]


def with_blocked() -> list[Any]:
    return list(TenantBacklog.objects.with_blocked())


def test_tenants_that_wait_longest_come_first(tables: Tables) -> None:
    for tenant, month in (("young", 3), ("old", 1), ("middle", 2)):
        tables.add("k", tenant=tenant, created_at=f"2024-0{month}-01")
    tables.add("k", tenant="dead", status="failed")
    tables.add("k", "k", tenant="deadly", status="failed")
    found = snapshot(refresh_if_older_than=NOW)
    assert [each.tenant_id for each in found.tenants] == ["old", "middle", "young", "deadly", "dead"]


def test_an_empty_outbox_has_been_counted_too(tables: Tables) -> None:
    found = snapshot(refresh_if_older_than=NOW)
    assert found.taken_at is not None
    assert found.age is not None
    assert (found.tenants, found.totals.pending) == ((), 0)


def test_figures_that_are_young_enough_are_not_counted_again(
    tables: Tables, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    before = snapshot(refresh_if_older_than=NOW)
    tables.add("k")
    tables.execute("UPDATE outbox_backlog_counts SET next_at = '2001-01-01'")
    with django_assert_num_queries(1):
        found = snapshot(refresh_if_older_than=timedelta(hours=1))
    assert (found.taken_at, found.tenants) == (before.taken_at, ())


def test_nobody_counts_again_before_the_pause_is_over(tables: Tables) -> None:
    before = snapshot(refresh_if_older_than=NOW)
    tables.add("k")
    found = snapshot(refresh_if_older_than=NOW)
    assert (found.taken_at, found.tenants) == (before.taken_at, ())


def test_while_somebody_else_counts_the_last_figures_stand(tables: Tables) -> None:
    tables.add("k")
    before = snapshot(refresh_if_older_than=NOW)
    tables.execute("UPDATE outbox_backlog_counts SET next_at = '2001-01-01'")
    assert counting.claim(tables.session) is not None
    tables.add("k")
    assert snapshot(refresh_if_older_than=NOW).totals == before.totals


def test_a_count_that_fails_is_the_outboxs_own_error(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, alias: str) -> bool:
        raise psycopg.OperationalError("no\nroute")

    monkeypatch.setattr(counting, "count_if_due", fail)
    with pytest.raises(CountFailed, match="could not be counted: no route"):
        snapshot(refresh_if_older_than=NOW)
