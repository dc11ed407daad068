"""Thresholds that staff set in code."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from circuits.errors import InvalidName, InvalidThreshold, ReasonMissing
from circuits.models import CircuitTransition, TenantCircuit
from circuits.operations import thresholds

pytestmark = pytest.mark.django_db


def configure(**changes: Any) -> TenantCircuit:
    return thresholds.configure(tenant_id="acme", name="memory", by="ann", reason="tuning", changes=changes)


def test_they_are_stored_with_who_and_why() -> None:
    configure(failure_threshold=9, decay=5)
    configure(failure_threshold=None, mode="rate")
    circuit = TenantCircuit.objects.get()
    assert (circuit.failure_threshold, circuit.decay, circuit.mode) == (None, 5.0, "rate")
    told = [(each.by, each.reason) for each in CircuitTransition.objects.order_by("id")]
    assert told == [
        ("ann", "tuning (failure_threshold default -> 9, decay default -> 5)"),
        ("ann", "tuning (failure_threshold 9 -> default, mode default -> rate)"),
    ]


def test_what_stays_as_it_was_is_not_told() -> None:
    configure(decay=5)
    configure(decay=5.0)
    assert CircuitTransition.objects.count() == 1


def test_nothing_else_of_the_row_is_written() -> None:
    circuit = configure(decay=5)
    TenantCircuit.objects.update(failures=3, epoch=4, revision=5)
    configure(decay=6)
    circuit.refresh_from_db()
    assert (circuit.failures, circuit.epoch, circuit.revision, circuit.decay) == (3, 4, 5, 6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"failures": 3}, "failures=3: no such threshold; known are mode, failure_threshold, "),
        ({"jitter": 0.5}, "jitter=0.5: no such threshold"),
        ({"failure_threshold": True}, "failure_threshold=True: must be a number."),
        ({"failure_threshold": 1.5}, "failure_threshold=1.5: must be a whole number."),
        ({"failure_threshold": "5"}, "failure_threshold='5': must be a number."),
        ({"failure_threshold": 10**400}, "must be at most 1,000,000."),
        ({"half_open_probes": float("inf")}, "half_open_probes=inf: must be finite."),
        ({"reset_interval": -1}, "reset_interval=-1: must be above 0."),
        ({"mode": "guess"}, "mode='guess': must be consecutive or rate."),
        (
            {"decay": 5, "reset_interval": 400},
            "reset_interval=400.0: must be at most max_reset_interval=300 (the default).",
        ),
    ],
)
def test_values_that_cannot_be_change_nothing(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidThreshold) as refused:
        configure(**changes)
    assert said in str(refused.value)
    assert not TenantCircuit.objects.exists()


def test_a_value_is_judged_with_those_that_the_circuit_has() -> None:
    configure(max_reset_interval=1_000)
    configure(reset_interval=400)
    with pytest.raises(InvalidThreshold, match="must be at most max_reset_interval=300"):
        configure(max_reset_interval=None)


def test_a_reason_and_a_name_are_asked_for() -> None:
    with pytest.raises(ReasonMissing):
        thresholds.configure(tenant_id="acme", name="memory", by="ann", reason=" ", changes={"decay": 5})
    with pytest.raises(InvalidName):
        thresholds.configure(tenant_id="a:b", name="memory", by="ann", reason="x", changes={"decay": 5})


def test_they_belong_to_the_callers_transaction() -> None:
    with transaction.atomic():
        configure(decay=5)
        transaction.set_rollback(True)
    assert not TenantCircuit.objects.exists()
