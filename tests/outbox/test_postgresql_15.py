"""The application's side on the oldest PostgreSQL that the product is tested on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from psycopg.conninfo import conninfo_to_dict
from pytest_django import DjangoDbBlocker

from outbox.api import EnqueueManyResult, NewEvent, enqueue, enqueue_many, get_pending_events
from outbox.errors import DuplicateEvent, DuplicateInFlight
from outbox.models import ActionSource, EventStatus, OperatorAction, OutboxEvent
from outbox.operations.audit import Operator
from outbox.operations.discard import discard
from outbox.operations.filters import Filter
from outbox.operations.listing import page
from outbox.operations.prune import prune
from outbox.operations.replay import replay
from outbox.operations.stats import stats
from somabrain.embedded.cluster import Cluster

pytestmark = [pytest.mark.pg15, pytest.mark.django_db(transaction=True, databases=["default", "pg15", "pg15_too"])]


@pytest.fixture(scope="module", autouse=True)
def pg15(django_db_setup: None, django_db_blocker: DjangoDbBlocker, pg15_server: Cluster) -> Iterator[None]:
    """A migrated database under two aliases, for two transactions at a time."""
    pg15_server.create_database("application")
    server: dict[str, Any] = conninfo_to_dict(pg15_server.url("application"))
    for alias in ("pg15", "pg15_too"):
        connections.settings[alias] = {
            **connections.settings["default"],
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "application",
            "USER": server["user"],
            "PASSWORD": server["password"],
            "HOST": server["host"],
            "PORT": "",
        }
    with django_db_blocker.unblock():
        call_command("migrate", database="pg15", verbosity=0)
        assert connections["pg15"].get_database_version()[0] == 15
        yield
        for alias in ("pg15", "pg15_too"):
            connections[alias].close()
            del connections[alias]
            del connections.settings[alias]


def event(key: str) -> NewEvent:
    return NewEvent(topic="orders", payload={"key": key}, dedupe_key=key)


def test_events_are_written_and_read() -> None:
    with transaction.atomic(using="pg15"):
        enqueue(topic="orders", payload={"key": "a"}, dedupe_key="a", using="pg15")
        assert enqueue_many(map(event, "bcd"), using="pg15") == EnqueueManyResult(created=3, duplicates=0)
        assert enqueue_many(map(event, "dcbe"), using="pg15") == EnqueueManyResult(created=1, duplicates=3)
        with pytest.raises(DuplicateEvent):
            enqueue(topic="orders", payload={"key": "a"}, dedupe_key="a", on_duplicate="error", using="pg15")
    assert [each.payload["key"] for each in get_pending_events(using="pg15")] == list("abcde")


@pytest.mark.parametrize("many", [False, True])
def test_a_key_committed_meanwhile_is_told_at_stricter_levels(many: bool) -> None:
    with pytest.raises(DuplicateInFlight), transaction.atomic(using="pg15"):
        with connections["pg15"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert not OutboxEvent.objects.using("pg15").exists()
        with transaction.atomic(using="pg15_too"):
            enqueue(topic="orders", payload={}, dedupe_key="a", using="pg15_too")
        if many:
            enqueue_many([event("a")], using="pg15")
        else:
            enqueue(topic="orders", payload={}, dedupe_key="a", using="pg15")


def test_operators_do_their_work() -> None:
    ann = Operator(name="ann", source=ActionSource.COMMAND)
    with transaction.atomic(using="pg15"):
        enqueue(topic="orders", payload={}, dedupe_key="for-ann", using="pg15")
    events = OutboxEvent.objects.using("pg15").filter(dedupe_key="for-ann")
    named = Filter(tenant_id="default", dedupe_key="for-ann")
    assert discard(named, by=ann, reason="nobody wants it", using="pg15").changed == 1
    assert replay(named, by=ann, reason="somebody does", using="pg15").changed == 1
    assert (events.get().status, events.get().headers) == ("pending", {"replay": "1"})
    assert page(Filter(statuses=(EventStatus.PENDING,)), limit=1, using="pg15").rows
    assert {each.status for each in stats(using="pg15").totals} == set(EventStatus)
    actions = OperatorAction.objects.using("pg15")
    assert [action.verb for action in actions.order_by("id")] == ["discard", "replay"]
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(using="pg15"):
        actions.update(reason="")


def test_what_is_over_is_deleted() -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    with transaction.atomic(using="pg15"):
        enqueue_many(map(event, "abc"), using="pg15")
    done = OutboxEvent.objects.using("pg15").exclude(dedupe_key="c")
    done.update(status=EventStatus.SENT, created_at=long_ago, sent_at=long_ago)
    assert prune(using="pg15").events == {"sent": 2}
    assert [each.dedupe_key for each in get_pending_events(using="pg15")] == ["c"]
