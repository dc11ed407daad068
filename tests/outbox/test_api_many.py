"""Many events: all or none, in order, counted, whatever yields them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from opentelemetry import trace

from outbox.api import EnqueueManyResult, NewEvent, enqueue, enqueue_many
from outbox.enqueueing import chunks
from outbox.errors import InvalidEvent, NotInTransaction
from outbox.models import EventStatus, OutboxEvent
from tests.support.sessions import sessions

pytestmark = pytest.mark.django_db

# More than a chunk holds.
MANY = 10_500


def event(number: int, **changes: Any) -> NewEvent:
    return NewEvent(**{"topic": "orders", "payload": {"n": number}, "dedupe_key": f"order-{number}", **changes})


def stored_numbers() -> list[object]:
    """In publishing order."""
    return [each.payload["n"] for each in OutboxEvent.objects.order_by("created_at", "id")]


def test_every_field_is_stored() -> None:
    due = timezone.now() + timedelta(hours=1)
    result = enqueue_many(
        [
            NewEvent(topic="orders", payload=None),
            NewEvent(
                topic="orders",
                payload={"text": 'tab\t line\n quote" back\\slash \\N ü 🎉'},
                tenant_id="acme",
                partition_key="a\tb\nc\rd\\e\\N",
                dedupe_key="\\.",
                headers={"source": "the\tshop\\"},
                available_at=due,
                traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
        ]
    )
    assert result == EnqueueManyResult(created=2, duplicates=0)
    plain, full = OutboxEvent.objects.order_by("id")
    assert (plain.tenant_id, plain.payload, plain.partition_key, plain.headers) == ("default", None, "", {})
    assert (plain.status, plain.available_at, len(plain.dedupe_key)) == (EventStatus.PENDING, None, 36)
    assert (full.tenant_id, full.partition_key, full.dedupe_key) == ("acme", "a\tb\nc\rd\\e\\N", "\\.")
    assert full.payload == {"text": 'tab\t line\n quote" back\\slash \\N ü 🎉'}
    assert full.headers == {
        "source": "the\tshop\\",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    assert (full.status, full.available_at) == (EventStatus.SCHEDULED, due)


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_the_order_given_is_the_order_of_publishing(kind: Any) -> None:
    result = enqueue_many(kind([event(n) for n in range(MANY)]))
    assert result == EnqueueManyResult(created=MANY, duplicates=0)
    assert stored_numbers() == list(range(MANY))


def test_the_order_holds_where_duplicates_and_delays_stand_in_between() -> None:
    past = timezone.now() - timedelta(days=1)
    enqueue(topic="orders", payload={"n": -1}, dedupe_key="order-7")
    result = enqueue_many(event(n, available_at=past if n % 1_000 == 3 else None) for n in range(MANY))
    assert result == EnqueueManyResult(created=MANY - 1, duplicates=1)
    assert stored_numbers() == [-1, *(n for n in range(MANY) if n != 7)]
    assert not OutboxEvent.objects.exclude(status=EventStatus.PENDING).exists()


@pytest.mark.parametrize("kind", [list, iter])
def test_duplicates_are_counted_and_the_first_one_stays(kind: Any) -> None:
    enqueue(topic="orders", payload={"n": "before"}, dedupe_key="order-2")
    numbers = [1, 2, 3, 1, 4, 3]
    result = enqueue_many(kind([event(n, payload={"n": f"{n}-{i}"}) for i, n in enumerate(numbers)]))
    assert result == EnqueueManyResult(created=3, duplicates=3)
    assert stored_numbers() == ["before", "1-0", "3-2", "4-4"]


def test_tenants_do_not_share_keys() -> None:
    assert enqueue_many(event(1, tenant_id=tenant) for tenant in ("a", "b", "c")).created == 3


def test_the_same_import_again_creates_nothing() -> None:
    enqueue_many(event(n) for n in range(MANY))
    assert enqueue_many(event(n) for n in range(MANY)) == EnqueueManyResult(created=0, duplicates=MANY)


def test_after_a_chunk_with_duplicates_and_one_without_all_goes_on() -> None:
    enqueue(topic="orders", payload={}, dedupe_key="order-5")
    assert enqueue_many(event(n) for n in range(3 * MANY)) == EnqueueManyResult(created=3 * MANY - 1, duplicates=1)


def test_called_twice_in_a_transaction_nothing_leaks_from_one_to_the_other() -> None:
    soon = timezone.now() + timedelta(hours=1)
    first = enqueue_many([event(1, available_at=soon), event(2)])
    second = enqueue_many([event(3, tenant_id="acme", available_at=soon), event(2)])
    assert (first, second) == (EnqueueManyResult(created=2, duplicates=0), EnqueueManyResult(created=1, duplicates=1))
    assert set(OutboxEvent.objects.values_list("tenant_id", "payload__n")) == {
        ("default", 1),
        ("default", 2),
        ("acme", 3),
    }


@pytest.mark.django_db(transaction=True)
def test_the_staging_table_is_gone_with_the_transaction() -> None:
    for _ in range(2):
        with transaction.atomic():
            enqueue_many([event(1), event(1)])
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('pg_temp.outbox_staged')")
            assert cursor.fetchone() == (None,)


def test_nothing_costs_nothing() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert enqueue_many([]) == EnqueueManyResult(created=0, duplicates=0)
    assert not [each for each in queries if "SAVEPOINT" not in each["sql"]]


def invalid_at(position: int) -> Iterator[NewEvent]:
    for n in range(position):
        yield event(n)
    yield event(position, payload={"n": float("nan")})


@pytest.mark.parametrize("position", [0, 5, MANY])
@pytest.mark.parametrize("kind", [list, iter])
def test_an_invalid_event_leaves_nothing_behind_and_the_transaction_usable(position: int, kind: Any) -> None:
    enqueue(topic="orders", payload={"n": "before"})
    with pytest.raises(InvalidEvent, match=rf"events\[{position}\]\.payload\.n=nan"):
        enqueue_many(kind(list(invalid_at(position))))
    enqueue(topic="orders", payload={"n": "after"})
    assert stored_numbers() == ["before", "after"]


def test_an_error_of_the_iterable_itself_leaves_nothing_behind() -> None:
    def broken() -> Iterator[NewEvent]:
        yield from (event(n) for n in range(MANY))
        raise RuntimeError("file ends")

    with pytest.raises(RuntimeError, match="file ends"):
        enqueue_many(broken())
    assert not OutboxEvent.objects.exists()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Events in a chunk, by their number."""
    monkeypatch.setattr(chunks, "_CHUNK_LINES", 10)
    monkeypatch.setattr(chunks, "_PIECE_LINES", 3)
    return 10


def test_what_yields_the_events_may_use_the_same_connection(small_chunks: int) -> None:
    count = 10 * small_chunks
    enqueue_many(event(n) for n in range(count))

    def derived() -> Iterator[NewEvent]:
        for each in OutboxEvent.objects.order_by("id").iterator(chunk_size=7):
            with transaction.atomic():
                assert OutboxEvent.objects.filter(pk=each.pk).exists()
            yield event(each.payload["n"], tenant_id="copy")

    assert enqueue_many(derived()).created == count


def test_a_payload_that_changes_after_its_event_was_yielded_is_written_as_it_was() -> None:
    def reusing() -> Iterator[NewEvent]:
        payload = {}
        for n in range(250):
            payload["n"] = n
            yield event(n, payload=payload)

    enqueue_many(reusing())
    assert stored_numbers() == list(range(250))


def test_memory_is_bounded_however_many_and_large_the_events_are() -> None:
    text = "x" * 100_000
    tracemalloc.start()
    try:
        result = enqueue_many(event(n, payload={"n": n, "text": f"{n}{text}"}) for n in range(1_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.created == 1_000
    assert peak < 60_000_000


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_it_refuses_and_reads_nothing() -> None:
    unread = iter([event(1)])
    with pytest.raises(NotInTransaction):
        enqueue_many(unread)
    assert len(list(unread)) == 1


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_all_events_commit_together_if_asked_for() -> None:
    assert enqueue_many((event(n) for n in range(3)), autocommit=True).created == 3
    with pytest.raises(InvalidEvent):
        enqueue_many((event(n, topic="orders" if n < 5 else "") for n in range(3, 6)), autocommit=True)
    assert stored_numbers() == [0, 1, 2]
    with sessions(1) as (other,):
        assert other.do(OutboxEvent.objects.count) == 3


def test_the_active_opentelemetry_span_is_captured() -> None:
    context = trace.SpanContext(trace_id=1, span_id=2, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(context)):
        enqueue_many([event(1)])
    assert OutboxEvent.objects.get().headers == {
        "traceparent": "00-00000000000000000000000000000001-0000000000000002-00"
    }


def test_many_chunks_do_not_pile_up_subtransactions(small_chunks: int) -> None:
    """PostgreSQL has 64 of them at hand per transaction; one that has more slows all others down."""
    with CaptureQueriesContext(connection) as queries:
        enqueue_many(event(n) for n in range(80 * small_chunks))
    assert len([each for each in queries if each["sql"].startswith("SAVEPOINT")]) < 60
    assert stored_numbers() == list(range(80 * small_chunks))


@pytest.mark.parametrize("kind", [list, iter])
def test_errors_of_the_database_are_djangos_and_leave_the_transaction_usable(kind: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE outbox_events ADD CONSTRAINT small CHECK (payload_bytes < 100)")
    with pytest.raises(IntegrityError, match="small") as raised:
        enqueue_many(kind([event(1), event(2, payload={"n": "x" * 100})]))
    assert isinstance(raised.value.__cause__, psycopg.errors.CheckViolation)
    assert not OutboxEvent.objects.exists()


def test_errors_while_staged_events_are_written_are_djangos_too() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE numeric_value_out_of_range; END';"
            "CREATE TRIGGER refuse BEFORE INSERT ON outbox_events FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    with pytest.raises(DataError):
        enqueue_many([event(1, available_at=timezone.now())])
    assert not OutboxEvent.objects.exists()
