"""What staff decide about circuits stands in the one record of what operators did, written with the decision itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from circuits.events import Failed, Origin
from circuits.models import CircuitTransition, TenantCircuit
from circuits.operations import history, steering, thresholds
from circuits.process import process
from outbox.models import OperatorAction

pytestmark = pytest.mark.django_db(transaction=True)

HERE = Origin(source="admin", address="192.0.2.1")


@pytest.fixture(autouse=True)
def _own_sessions() -> Iterator[None]:
    yield
    process.close()


def given(**more: Any) -> dict[str, Any]:
    return {"tenant_id": "acme", "name": "publish", "by": "ann", "reason": "a move", "origin": HERE, **more}


def recorded() -> list[OperatorAction]:
    return list(OperatorAction.objects.order_by("id"))


def test_each_decision_is_recorded_with_who_why_and_from_where() -> None:
    until = timezone.now() + timedelta(hours=1)
    steering.force_open(**given(until=until))
    steering.automatic(**given())
    steering.force_closed(**given())
    steering.reset(**given())
    actions = recorded()
    assert [each.verb for each in actions] == ["force_open", "automatic", "force_closed", "reset"]
    first = actions[0]
    assert (first.actor, first.source, first.address, first.reason) == ("ann", "admin", "192.0.2.1", "a move")
    assert (first.tenants, first.filter) == (["acme"], {"tenant": "acme", "circuit": "publish"})
    assert first.before == {"state": "closed"}
    assert first.after is not None
    assert (first.after["state"], first.after["until"][:16]) == ("forced_open", until.isoformat()[:16])
    assert (actions[1].before, actions[1].after) == ({"state": "forced_open"}, {"state": "closed"})


def test_thresholds_are_recorded_as_they_were_and_as_they_became() -> None:
    thresholds.configure(**given(changes={"failure_threshold": 9, "mode": "rate"}))
    thresholds.configure(**given(changes={"failure_threshold": None}, origin=Origin()))
    first, second = recorded()
    assert (first.verb, first.before) == ("set_thresholds", {"failure_threshold": None, "mode": None})
    assert first.after == {"failure_threshold": 9, "mode": "rate"}
    assert (second.source, second.before, second.after) == (
        "code",
        {"failure_threshold": 9},
        {"failure_threshold": None},
    )


def test_commands_say_so() -> None:
    call_command("circuits", "force-open", "acme", "publish", "--reason", "a move", "--yes")
    call_command("circuits", "set", "acme", "publish", "--decay", "5", "--reason", "a move", "--yes")
    assert [(each.verb, each.source, each.address) for each in recorded()] == [
        ("force_open", "command", None),
        ("set_thresholds", "command", None),
    ]


def test_so_does_the_admin(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ann"))
    circuit = TenantCircuit.objects.create(tenant_id="acme", name="publish")
    page = f"/admin/circuits/tenantcircuit/{circuit.pk}/decide/force_open/"
    client.post(page, {"reason": "a move"}, REMOTE_ADDR="192.0.2.7")
    (action,) = recorded()
    assert (action.actor, action.source, action.address) == ("ann", "admin", "192.0.2.7")


def test_what_moves_a_circuit_by_itself_is_no_action() -> None:
    process.report(("acme", "publish"), [Failed(epoch=0)] * 50)
    assert TenantCircuit.objects.get().state == "open"
    assert recorded() == []


def old_moves(number: int) -> None:
    CircuitTransition.objects.bulk_create(
        CircuitTransition(
            tenant_id="acme",
            name="publish",
            from_state="closed",
            to_state="open",
            why="failures",
            at=timezone.now() - timedelta(days=91),
            epoch=1,
        )
        for _ in range(number)
    )


def test_whoever_prunes_the_history_is_recorded() -> None:
    old_moves(2)
    call_command("circuits", "prune", "--yes", "--reason", " the disk\nis full ", stdout=StringIO())
    (action,) = recorded()
    assert (action.verb, action.source, action.reason) == ("prune_circuits", "command", "the disk is full")
    assert (action.tenants, action.counts) == (["*"], {"moves": 2})
    assert "@" in action.actor


def test_pruning_that_is_interrupted_is_recorded_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**how: Any) -> int:
        how["progress"](2)
        raise KeyboardInterrupt

    monkeypatch.setattr(history, "prune", interrupt)
    with pytest.raises(SystemExit):
        call_command("circuits", "prune", "--yes", stdout=StringIO())
    (action,) = recorded()
    assert (action.counts, action.reason) == ({"moves": 2}, "")


def test_pruning_by_the_schedule_or_of_nothing_leaves_no_record() -> None:
    call_command("circuits", "prune", "--yes", stdout=StringIO())
    old_moves(1)
    assert history.prune() == 1
    assert recorded() == []
