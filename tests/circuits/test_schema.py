"""What the database itself sees to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models.functions import Now

from circuits import machine
from circuits.models import CircuitTransition, TenantCircuit
from circuits.operations import listing
from circuits.policy import BOUNDS

pytestmark = pytest.mark.django_db

_AGES = {"past": -timedelta(hours=1), "future": timedelta(hours=1)}


def store(**fields: Any) -> TenantCircuit:
    return TenantCircuit.objects.create(**{"tenant_id": "acme", "name": "memory", **fields})


def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", "circuits", check_changes=True, dry_run=True, verbosity=0)


def test_every_migration_can_be_taken_back() -> None:
    migrations = [each for (app, _), each in MigrationLoader(connection).disk_migrations.items() if app == "circuits"]
    assert migrations
    assert all(operation.reversible for each in migrations for operation in each.operations)


@pytest.mark.parametrize(
    "statement", ["UPDATE circuits_transitions SET by = 'eve'", "DELETE FROM circuits_transitions"]
)
def test_the_history_is_only_added_to(statement: str) -> None:
    CircuitTransition.objects.create(
        tenant_id="acme", name="memory", from_state="closed", to_state="open", why="failures", epoch=1
    )
    with pytest.raises(IntegrityError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant_id": "a:b"},
        {"tenant_id": ""},
        {"name": "*"},
        {"mode": ""},
        {"failure_threshold": 0},
        {"reset_interval": 0},
        {"reset_interval": float("nan")},
        {"max_reset_interval": float("inf")},
        {"reset_interval": 10, "max_reset_interval": 9},
        {"failure_rate": 1.1},
        {"half_open_probes": 0},
        {"state": "ajar"},
        {"state": "open"},
        {"open_until": "2026-01-01T00:00:00Z"},
        {"probe_until": "2026-01-01T00:00:00Z"},
        {"failures": -1},
        {"override": "maybe"},
        {"override_by": "ann"},
    ],
)
def test_impossible_rows_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        store(**fields)


def test_every_threshold_has_bounds_in_the_database() -> None:
    names = {constraint.name for constraint in TenantCircuit._meta.constraints}
    assert {f"ck_circuit_{name}" for name in BOUNDS if name != "jitter"} <= names


def test_a_tenant_has_one_circuit_of_a_name() -> None:
    store()
    store(name="publish")
    store(tenant_id="*")
    with pytest.raises(IntegrityError):
        store()


def moments(when: str) -> Any:
    return {"past": Now() + _AGES["past"], "future": Now() + _AGES["future"], "none": None}[when]


@pytest.mark.parametrize(
    ("fields", "visible", "may_call", "by_probe"),
    [
        ({}, "closed", True, False),
        ({"failures": 4}, "closed", True, False),
        ({"state": "open", "open_until": "future"}, "open", False, True),
        ({"state": "open", "open_until": "past"}, "half_open", True, True),
        ({"state": "half_open", "probe_until": "future"}, "half_open", False, True),
        ({"state": "half_open", "probe_until": "past"}, "half_open", True, True),
        ({"state": "half_open"}, "half_open", True, True),
        ({"override": "forced_open"}, "forced_open", False, False),
        ({"override": "forced_open", "override_until": "future"}, "forced_open", False, False),
        ({"override": "forced_open", "override_until": "past"}, "closed", True, False),
        ({"override": "forced_closed", "state": "open", "open_until": "future"}, "forced_closed", True, False),
        (
            {"override": "forced_closed", "override_until": "past", "state": "open", "open_until": "future"},
            "open",
            False,
            True,
        ),
    ],
)
def test_the_view_says_what_the_machine_says(
    fields: dict[str, Any], visible: str, may_call: bool, by_probe: bool
) -> None:
    times = {name: moments(value) for name, value in fields.items() if name.endswith("_until")}
    stored = store(**{**fields, **times})
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, may_call, by_probe FROM circuits_now WHERE tenant_id = 'acme'")
        assert cursor.fetchone() == (visible, may_call, by_probe)
    stored.refresh_from_db()
    assert machine.visible(stored.as_state(), now=listing.database_now()) == visible
    assert [each.state for each in listing.circuits(state=visible, limit=9)] == [visible]


def test_a_join_with_the_view_reads_the_rows_it_needs_by_index() -> None:
    TenantCircuit.objects.bulk_create(
        TenantCircuit(tenant_id=f"tenant-{number}", name="publish") for number in range(2_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE circuits_tenant_circuits")
        cursor.execute(
            "EXPLAIN SELECT 1 FROM unnest(ARRAY['tenant-7', 'tenant-8']) AS given (tenant_id)"
            " LEFT JOIN circuits_now c ON c.tenant_id = given.tenant_id AND c.name = 'publish'"
            " WHERE coalesce(c.may_call, true)"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan" not in plan
    assert "uq_circuit_tenant_name" in plan


def test_trouble_is_listed_by_its_own_index() -> None:
    TenantCircuit.objects.bulk_create(
        TenantCircuit(tenant_id=f"tenant-{number}", name="publish") for number in range(2_000)
    )
    store(state="open", open_until=Now() + timedelta(hours=1))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE circuits_tenant_circuits")
    plan = listing.in_state(TenantCircuit.objects.all(), "open").explain()
    assert "ix_circuit_trouble" in plan
