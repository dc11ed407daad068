"""Assertions under pytest-django's fixtures and Django's own test cases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase

from outbox.api import NewEvent, enqueue, enqueue_many
from outbox.models import OutboxEvent
from outbox.testing import OutboxAssertions, Recorder, assert_enqueued


def _enqueue(number: int = 1, **given: Any) -> None:
    with transaction.atomic():
        enqueue(**{"topic": "orders", "payload": {"id": number, "state": "placed"}, "tenant_id": "acme", **given})


def _failure(check: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as failed:
        check()
    return str(failed.value)


def test_the_fixture_sees_what_the_tests_transaction_enqueued(outbox: Recorder) -> None:
    _enqueue(partition_key="1", dedupe_key="order-1", headers={"source": "shop"})
    (event,) = outbox.assert_enqueued(
        topic="orders",
        tenant_id="acme",
        payload={"id": 1},
        partition_key="1",
        dedupe_key="order-1",
        headers={"source": "shop"},
        count=1,
    )
    assert event.payload == {"id": 1, "state": "placed"}
    assert (event.status, event.available_at) == ("pending", None)


@pytest.mark.django_db(transaction=True)
def test_the_fixture_sees_what_was_committed(outbox: Recorder) -> None:
    worker = threading.Thread(target=_in_a_thread)
    worker.start()
    worker.join()
    outbox.assert_enqueued(topic="orders", count=1)


def _in_a_thread() -> None:
    _enqueue()
    connection.close()


def test_the_fixture_works_beside_transactional_db(transactional_db: None, outbox: Recorder) -> None:
    assert not connection.in_atomic_block
    _enqueue()
    outbox.assert_enqueued(payload={"id": 1})


def test_what_was_rolled_back_was_not_enqueued(outbox: Recorder) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        _enqueue()
        _ = 1 / 0
    outbox.assert_enqueued(count=0)


def test_clear_forgets_what_was_enqueued_before(outbox: Recorder) -> None:
    _enqueue(1)
    outbox.clear()
    outbox.assert_enqueued(count=0)
    _enqueue(2)
    outbox.clear()
    outbox.clear()
    _enqueue(3)
    assert [event.payload["id"] for event in outbox.events] == [3]
    assert len(assert_enqueued(topic="orders")) == 3


def test_events_come_in_the_order_in_which_they_were_enqueued(outbox: Recorder) -> None:
    enqueue_many([NewEvent(topic="stock", payload=number) for number in (3, 1, 2)], autocommit=True)
    assert [event.payload for event in outbox.assert_enqueued(topic="stock", tenant_id=None)] == [3, 1, 2]


def test_published_events_count_too(outbox: Recorder) -> None:
    _enqueue()
    OutboxEvent.objects.update(status="sent")
    (event,) = outbox.assert_enqueued(topic="orders")
    assert event.status == "sent"


def test_a_failure_shows_the_nearest_events_and_in_what_they_differ(outbox: Recorder) -> None:
    _enqueue(1, topic="stock")
    _enqueue(2, partition_key="2")
    far, near = outbox.events
    assert _failure(lambda: outbox.assert_enqueued(topic="orders", tenant_id="acme", payload={"id": 3})) == (
        "1 or more wanted, 0 enqueued with topic='orders', tenant_id='acme', payload={'id': 3}\n"
        "Nearest to it:\n"
        f"  #{near.event_id} topic='orders' tenant_id='acme' partition_key='2' payload={near.payload!r}\n"
        "    payload['id'] is 2, wanted 3\n"
        f"  #{far.event_id} topic='stock' tenant_id='acme' payload={far.payload!r}\n"
        "    topic is 'stock', wanted 'orders'\n"
        "    payload['id'] is 1, wanted 3"
    )


def test_a_failure_over_an_empty_outbox_says_so(outbox: Recorder) -> None:
    said = _failure(lambda: outbox.assert_enqueued(topic="orders"))
    assert said == "1 or more wanted, 0 enqueued with topic='orders'\nNothing at all is in the outbox."


def test_a_wrong_count_shows_what_there_is(outbox: Recorder) -> None:
    for number in range(7):
        _enqueue(number)
    said = _failure(lambda: outbox.assert_enqueued(topic="orders", count=1))
    assert said.startswith("1 wanted, 7 enqueued with topic='orders'\nThese are like that:\n  #")
    assert said.endswith("\n  and 2 more")
    assert "Nearest" not in said
    said = _failure(lambda: outbox.assert_enqueued(payload={"id": 3}, count=2))
    assert "These are like that:" in said
    assert "Nearest to it:" in said
    assert "wanted, 7 enqueued" in _failure(lambda: outbox.assert_enqueued(count=0))


class DjangoTests(OutboxAssertions, TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        _enqueue(1)

    def test_the_mixin_sees_what_the_test_enqueued(self) -> None:
        _enqueue(2)
        self.assert_enqueued(topic="orders", tenant_id="acme", payload={"id": 2}, count=1)
        self.assert_enqueued(topic="orders", count=2)

    def test_and_nothing_of_the_test_before(self) -> None:
        self.assert_enqueued(count=1)

    def test_the_function_works_as_well(self) -> None:
        assert_enqueued(topic="orders", payload={"id": 1})
        with self.assertRaisesMessage(AssertionError, "0 enqueued with topic='stock'"):
            assert_enqueued(topic="stock")


class DjangoTransactionTests(OutboxAssertions, TransactionTestCase):
    def test_the_mixin_sees_what_was_committed(self) -> None:
        _enqueue()
        self.assert_enqueued(topic="orders", count=1)
