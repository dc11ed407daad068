"""Which of several databases an event is written to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections, transaction
from pytest_django import Settings

from outbox.api import EnqueueResult, NewEvent, enqueue, enqueue_many, get_pending_events
from outbox.errors import NotInTransaction
from outbox.models import OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture(scope="module", autouse=True)
def other_alias(django_db_setup: None) -> Iterator[None]:
    """A second alias of the test database: what is open on one is not open on the other."""
    connections.settings["other"] = connections.settings["default"]
    yield
    connections["other"].close()
    del connections["other"]
    del connections.settings["other"]


def enqueue_order(using: str | None = None) -> EnqueueResult:
    return enqueue(topic="orders", payload={"id": 17}, using=using)


def test_using_names_the_database() -> None:
    with transaction.atomic(), pytest.raises(NotInTransaction, match="'other'"):
        enqueue_order(using="other")
    with transaction.atomic(using="other"):
        enqueue_order(using="other")
    assert OutboxEvent.objects.count() == 1


def test_the_setting_names_the_database_unless_the_call_does(settings: Settings) -> None:
    settings.OUTBOX_DATABASE = "other"
    with transaction.atomic(), pytest.raises(NotInTransaction, match="'other'"):
        enqueue_order()
    with transaction.atomic():
        enqueue_order(using="default")
    assert OutboxEvent.objects.count() == 1


def test_using_names_the_database_of_many_events_too() -> None:
    with transaction.atomic(), pytest.raises(NotInTransaction, match="'other'"):
        enqueue_many([NewEvent(topic="orders", payload={})], using="other")
    with transaction.atomic(using="other"):
        enqueue_many([NewEvent(topic="orders", payload={})], using="other")
        assert not OutboxEvent.objects.exists()
        assert len(get_pending_events(using="other")) == 1
        assert len(get_pending_events(using="other", tenant_id="default")) == 1
    assert OutboxEvent.objects.count() == 1
