"""The same dedupe key again: earlier, within the transaction, and at the same moment from another one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from outbox import sql
from outbox.api import EnqueueManyResult, EnqueueResult, NewEvent, enqueue, enqueue_many
from outbox.errors import DuplicateEvent, DuplicateInFlight
from outbox.models import OutboxEvent
from tests.support.sessions import Session, sessions, wait_until_somebody_waits_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)

STRICT = ["REPEATABLE READ", "SERIALIZABLE"]


def enqueue_key(key: str, **changes: Any) -> EnqueueResult:
    return enqueue(**{"topic": "orders", "payload": {"id": 1}, "tenant_id": "acme", "dedupe_key": key, **changes})


def enqueue_keys(*keys: str) -> EnqueueManyResult:
    return enqueue_many(NewEvent(topic="orders", payload={"id": 1}, tenant_id="acme", dedupe_key=key) for key in keys)


def test_the_same_key_gives_back_the_first_event_and_changes_nothing() -> None:
    with transaction.atomic():
        first = enqueue_key("a")
    with transaction.atomic():
        again = enqueue_key("a", payload={"id": 2}, topic="others")
    assert again == EnqueueResult(event_id=first.event_id, created=False, tenant_id="acme", dedupe_key="a")
    event = OutboxEvent.objects.get()
    assert (event.topic, event.payload) == ("orders", {"id": 1})


def test_the_same_key_within_a_transaction_leaves_it_usable() -> None:
    with transaction.atomic():
        first = enqueue_key("a")
        assert enqueue_key("a").event_id == first.event_id
        enqueue_key("b")
    assert OutboxEvent.objects.count() == 2


def test_tenants_do_not_share_keys() -> None:
    with transaction.atomic():
        assert enqueue_key("a", tenant_id="acme").created
        assert enqueue_key("a", tenant_id="globex").created
        assert enqueue_key("a", tenant_id=None).created


@pytest.mark.parametrize(("payload", "differs"), [({"id": 1}, False), ({"id": 1.0}, False), ({"id": 2}, True)])
def test_on_request_a_duplicate_is_an_error_that_says_whether_the_payload_differs(payload: Any, differs: bool) -> None:
    with transaction.atomic():
        first = enqueue_key("a")
        with pytest.raises(DuplicateEvent) as raised:
            enqueue_key("a", payload=payload, on_duplicate="error")
        enqueue_key("b", on_duplicate="error")
    error = raised.value
    assert (error.tenant_id, error.dedupe_key, error.event_id, error.payload_differs) == (
        "acme",
        "a",
        first.event_id,
        differs,
    )
    assert ("another payload" in str(error)) is differs
    assert OutboxEvent.objects.count() == 2


def test_a_key_in_another_open_transaction_is_waited_for_and_found_once_it_commits() -> None:
    with sessions(2) as (first, second):
        first.begin()
        created = first.do(enqueue_key, "a")
        second.begin()
        waiting = second.start(enqueue_key, "a")
        wait_until_somebody_waits_for_a_lock()
        first.commit()
        found = waiting.result(60)
        second.do(enqueue_key, "b")
        second.commit()
    assert (found.event_id, found.created) == (created.event_id, False)
    assert OutboxEvent.objects.count() == 2


def test_a_key_in_another_open_transaction_is_free_once_that_rolls_back() -> None:
    with sessions(2) as (first, second):
        first.begin()
        first.do(enqueue_key, "a")
        second.begin()
        waiting = second.start(enqueue_key, "a")
        wait_until_somebody_waits_for_a_lock()
        first.roll_back()
        found = waiting.result(60)
        second.commit()
    assert found.created
    assert OutboxEvent.objects.get().pk == found.event_id


def test_many_keys_wait_for_another_open_transaction_too() -> None:
    with sessions(2) as (first, second):
        first.begin()
        first.do(enqueue_key, "b")
        second.begin()
        waiting = second.start(enqueue_keys, "a", "b", "c")
        wait_until_somebody_waits_for_a_lock()
        first.commit()
        counts = waiting.result(60)
        second.commit()
    assert counts == EnqueueManyResult(created=2, duplicates=1)


def crossed(first: Session, second: Session) -> list[Future[EnqueueResult]]:
    first.begin()
    second.begin()
    first.do(enqueue_key, "a")
    second.do(enqueue_key, "b")
    return [first.start(enqueue_key, "b"), second.start(enqueue_key, "a")]


def test_crossed_keys_end_one_of_the_two_transactions_and_let_the_other_through() -> None:
    with sessions(2) as pair:
        outcomes = crossed(*pair)
        errors = [outcome.exception(60) for outcome in outcomes]
        loser, winner = (0, 1) if errors[0] else (1, 0)
        assert isinstance(errors[loser], OperationalError)
        assert isinstance(getattr(errors[loser], "__cause__", None), psycopg.errors.DeadlockDetected)
        assert outcomes[winner].result().created
        pair[loser].roll_back()
        pair[winner].commit()
    assert set(OutboxEvent.objects.values_list("dedupe_key", flat=True)) == {"a", "b"}


def enqueue_staged(key: str) -> EnqueueManyResult:
    return enqueue_many(
        [NewEvent(topic="t", payload={}, tenant_id="acme", dedupe_key=key, available_at=timezone.now())]
    )


@pytest.mark.parametrize("write", [enqueue_key, enqueue_keys, enqueue_staged])
def test_lock_timeout_bounds_the_wait(write: Callable[[str], object]) -> None:
    with sessions(2) as (first, second):
        first.begin()
        first.do(enqueue_key, "a")
        second.begin()
        second.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            second.do(write, "a")
        second.roll_back()
        first.commit()


@pytest.mark.parametrize("isolation", STRICT)
@pytest.mark.parametrize("on_duplicate", ["return", "error"])
def test_stricter_levels_say_that_a_key_was_committed_meanwhile(isolation: str, on_duplicate: str) -> None:
    with sessions(2) as (first, second):
        second.begin(isolation=isolation)
        second.do(OutboxEvent.objects.count)
        first.begin()
        first.do(enqueue_key, "a")
        first.commit()
        with pytest.raises(DuplicateInFlight, match="Run the whole transaction again") as raised:
            second.do(enqueue_key, "a", on_duplicate=on_duplicate)
        second.roll_back()
    assert (raised.value.tenant_id, raised.value.dedupe_key) == ("acme", "a")


@pytest.mark.parametrize("isolation", STRICT)
def test_stricter_levels_say_so_of_many_events_too(isolation: str) -> None:
    with sessions(2) as (first, second):
        second.begin(isolation=isolation)
        second.do(OutboxEvent.objects.count)
        first.begin()
        first.do(enqueue_key, "b")
        first.commit()
        with pytest.raises(DuplicateInFlight, match="a dedupe key"):
            second.do(enqueue_keys, "a", "b")
        second.roll_back()
    assert OutboxEvent.objects.get().dedupe_key == "b"


@pytest.mark.parametrize("isolation", STRICT)
def test_stricter_levels_find_what_was_there_before(isolation: str) -> None:
    with transaction.atomic():
        first = enqueue_key("a")
    with sessions(1) as (session,):
        session.begin(isolation=isolation)
        assert session.do(enqueue_key, "a") == EnqueueResult(
            event_id=first.event_id, created=False, tenant_id="acme", dedupe_key="a"
        )
        assert session.do(enqueue_keys, "a", "b") == EnqueueManyResult(created=1, duplicates=1)
        session.commit()


def test_an_event_pruned_at_the_last_moment_makes_room_for_the_new_one() -> None:
    with transaction.atomic():
        first = enqueue_key("a")

    def prune_before_it_is_read(execute: Any, statement: str, *args: Any) -> Any:
        if statement == sql.load("enqueued_before"):
            session.do(OutboxEvent.objects.filter(pk=first.event_id).delete)
        return execute(statement, *args)

    with sessions(1) as (session,), transaction.atomic(), connection.execute_wrapper(prune_before_it_is_read):
        second = enqueue_key("a")
    assert second.created
    assert second.event_id != first.event_id


def test_an_event_that_can_neither_be_written_nor_seen_is_not_tried_for_ever() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER swallow BEFORE INSERT ON outbox_events FOR EACH ROW EXECUTE FUNCTION swallow()"
        )
    try:
        with transaction.atomic(), pytest.raises(DuplicateInFlight):
            enqueue_key("a")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION swallow CASCADE")
