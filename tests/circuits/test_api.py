"""What other apps use: permits, and outcomes in bulk."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from circuits.api import (
    CircuitOpen,
    InvalidName,
    Outcome,
    OutcomeKind,
    acquire,
    counts_in_a_row,
    found,
    record,
    record_many,
)
from circuits.errors import StoreUnavailable
from circuits.models import CircuitTransition, TenantCircuit
from circuits.process import process
from circuits.session import Session
from tests.circuits.marks import on_database

pytestmark = on_database

FAILED, SUCCEEDED, IGNORED = OutcomeKind.FAILED, OutcomeKind.SUCCEEDED, OutcomeKind.IGNORED


def outcome(kind: OutcomeKind, tenant_id: str = "acme", **fields: Any) -> Outcome:
    return Outcome(**{"tenant_id": tenant_id, "name": "publish", "outcome": kind, "epoch": 0, **fields})


def row(tenant_id: str = "acme") -> TenantCircuit:
    return TenantCircuit.objects.get(tenant_id=tenant_id)


def half_open() -> None:
    TenantCircuit.objects.create(
        tenant_id="acme", name="publish", state="open", epoch=7, open_until="2020-01-01T00:00:00Z"
    )


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"circuits_{name}_total", {"name": "publish", **labels}) or 0.0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Statements of this process's own session."""
    statements: list[str] = []
    query = Session.query

    def told(self: Session, statement: Any, params: Any) -> Any:
        statements.append(statement)
        return query(self, statement, params)

    monkeypatch.setattr(Session, "query", told)
    return statements


def test_a_permit_of_a_closed_circuit_is_free() -> None:
    permit = acquire(tenant_id="acme", name="publish")
    assert (permit.epoch, permit.probe) == (0, False)
    assert not TenantCircuit.objects.exists()


def test_one_permit_of_a_half_open_circuit() -> None:
    half_open()
    permit = acquire(tenant_id="acme", name="publish")
    assert (permit.epoch, permit.probe) == (8, True)
    refused = count("refused")
    with pytest.raises(CircuitOpen):
        acquire(tenant_id="acme", name="publish")
    assert count("refused") == refused + 1
    assert record(tenant_id="acme", name="publish", outcome=SUCCEEDED, epoch=8, probe=True)
    assert row().state == "closed"


def test_a_permit_that_is_not_used_is_given_back() -> None:
    half_open()
    permit = acquire(tenant_id="acme", name="publish")
    record(tenant_id="acme", name="publish", outcome=IGNORED, epoch=permit.epoch, probe=True)
    assert acquire(tenant_id="acme", name="publish").epoch == permit.epoch + 1


def test_failures_of_a_batch_are_one_write(asked: list[str]) -> None:
    before = count("transitions", to="open")
    assert record_many([outcome(FAILED, error_code=f"code-{number}") for number in range(9)]) == 0
    assert (row().state, row().revision) == ("open", 1)
    assert CircuitTransition.objects.get().error_code == "code-4"
    assert count("transitions", to="open") == before + 1


def test_the_order_of_a_batch_is_kept() -> None:
    record_many([outcome(kind) for kind in [FAILED] * 4 + [SUCCEEDED] * 3 + [FAILED] * 2])
    assert (row().state, row().failures) == ("closed", 2)
    record_many([outcome(FAILED), outcome(SUCCEEDED)])
    assert row().failures == 0


def test_successes_of_many_healthy_circuits_are_one_read(asked: list[str]) -> None:
    assert record_many([outcome(SUCCEEDED, f"tenant-{number % 50}") for number in range(500)]) == 0
    assert len(asked) == 1
    assert not TenantCircuit.objects.exists()


def test_each_tenant_of_a_batch_is_for_itself() -> None:
    record_many([outcome(FAILED, tenant) for tenant in ("acme", "globex") for _ in range(3)])
    record_many([outcome(SUCCEEDED, "acme"), outcome(FAILED, "globex"), outcome(FAILED, "globex")])
    assert (row("acme").failures, row("acme").state, row("globex").state) == (0, "closed", "open")


def test_late_outcomes_move_nothing() -> None:
    half_open()
    for kind in OutcomeKind:
        record(tenant_id="acme", name="publish", outcome=kind, epoch=6)
    assert (row().state, row().revision) == ("open", 0)


def test_an_epoch_that_this_process_has_not_heard_of_counts() -> None:
    """The outcome of a call that SQL let through, which knew more."""
    acquire(tenant_id="acme", name="publish")
    process.views["acme", "publish"].used = True
    TenantCircuit.objects.create(tenant_id="acme", name="publish", epoch=9)
    record(tenant_id="acme", name="publish", outcome=FAILED, epoch=9)
    assert row().failures == 1


def test_a_name_that_cannot_be_is_refused_before_anything_is_told() -> None:
    with pytest.raises(InvalidName):
        record_many([outcome(FAILED), outcome(FAILED, "a:b")])
    assert not TenantCircuit.objects.exists()


def test_what_could_not_be_told_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise StoreUnavailable

    lost = count("outcomes_lost")
    monkeypatch.setattr(Session, "query", refuse)
    assert record_many([outcome(FAILED), outcome(FAILED, "globex")]) == 2
    assert not record(tenant_id="acme", name="publish", outcome=FAILED, epoch=0)
    assert count("outcomes_lost") == lost + 3


def test_behind_a_pooler_nothing_stays_on_the_session(settings: Any) -> None:
    settings.CIRCUITS_LISTEN = False
    settings.CIRCUITS_LOCK_TIMEOUT = 59
    record_many([outcome(FAILED)] * 5)
    assert row().state == "open"
    assert process._session.query("SHOW lock_timeout", {}) == [("59s",)]
    assert process._session._connection is not None
    assert process._session._connection.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_a_fresh_permit_asks_the_database_whatever_the_process_knows() -> None:
    assert not acquire(tenant_id="acme", name="publish").probe
    process.view(("acme", "publish"))
    half_open()
    assert acquire(tenant_id="acme", name="publish", fresh=True).probe


def test_what_is_found_beside_the_calls_is_written_once() -> None:
    for _ in range(3):
        assert found(tenant_id="*", name="publish", well=False, error_code="no_answer")
    assert row("*").state == "open"
    assert found(tenant_id="*", name="publish", well=True)
    assert found(tenant_id="*", name="publish", well=False, still=True)
    assert row("*").state == "closed"
    assert CircuitTransition.objects.count() == 2


def test_how_failures_are_counted_can_be_asked() -> None:
    TenantCircuit.objects.create(tenant_id="acme", name="publish", mode="rate")
    assert not counts_in_a_row(tenant_id="acme", name="publish")
    assert counts_in_a_row(tenant_id="globex", name="publish")
