from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import transaction
from prometheus_client import REGISTRY
from pytest_django import DjangoAssertNumQueries, Settings

from outbox import counting
from outbox.api import NewEvent, enqueue, enqueue_many
from outbox.enqueueing import admission
from outbox.enqueueing.admission import Known
from outbox.errors import BacklogFull
from outbox.models import OutboxEvent
from tests.outbox.relay.conftest import Tables
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def nothing_known(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a new process, which has as long as it takes to read the limits. Its threads end before its tables do."""
    gates: dict[str, admission._Gate] = {}
    over = threading.Event()
    monkeypatch.setattr(admission, "_gates", gates)
    monkeypatch.setattr(admission, "WAIT_SECONDS", 60)
    monkeypatch.setattr(admission, "time", SimpleNamespace(monotonic=time.monotonic, sleep=over.wait))
    yield
    for each in gates.values():
        each.used = False
    over.set()
    for thread in threading.enumerate():
        if thread.name.startswith("outbox-admission"):
            thread.join(60)
            assert not thread.is_alive()


def count(tables: Tables) -> None:
    tables.execute("UPDATE outbox_backlog_counts SET next_at = '2001-01-01'")
    assert counting.count_if_due(alias="default")


@pytest.fixture
def full(tables: Tables) -> Tables:
    """acme is at its limit, zeta one below."""
    tables.policy("acme", backlog_limit=2)
    tables.policy("zeta", backlog_limit=3)
    for tenant in ("acme", "zeta"):
        tables.add("k", "k", tenant=tenant)
    count(tables)
    return tables


def send(tenant: str = "acme") -> None:
    enqueue(topic="news", payload=1, tenant_id=tenant)


def is_refused(tenant: str = "acme") -> bool:
    try:
        with transaction.atomic():
            send(tenant)
            transaction.set_rollback(True)
    except BacklogFull:
        return True
    return False


def gate() -> admission._Gate:
    return admission._gates["default"]


def expire() -> None:
    """A pause without an event: what is known is old."""
    known = gate().known
    assert known is not None
    wait_until(lambda: gate()._thread is None)
    gate().known = Known(limited=known.limited, full=known.full, valid_until=time.monotonic() - 1)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(alias: str, *, name: str) -> Any:
        raise psycopg.OperationalError("too many\nconnections")

    with monkeypatch.context() as patch:
        patch.setattr(admission, "open_session", refuse)
        yield


def test_a_tenant_at_its_limit_is_refused_with_what_to_do(full: Tables) -> None:
    with pytest.raises(BacklogFull) as raised:
        send()
    error = raised.value
    assert (error.tenant_id, error.pending, error.limit) == ("acme", 2, 2)
    assert error.counted_at == full.one("SELECT taken_at FROM outbox_backlog_counts")
    assert str(error) == (
        f"tenant_id='acme': 2 events were pending at {error.counted_at:%H:%M:%S %Z}, and its backlog_limit is 2. "
        "Try again when relays have caught up, or raise that in its policy."
    )


def test_nothing_is_written_and_the_transaction_remains_usable(full: Tables) -> None:
    with pytest.raises(BacklogFull):
        send()
    assert OutboxEvent.objects.of_tenant("acme").count() == 2
    send("zeta")


def test_refusals_are_counted(full: Tables) -> None:
    before = REGISTRY.get_sample_value("outbox_refused_total") or 0
    with pytest.raises(BacklogFull):
        send()
    assert REGISTRY.get_sample_value("outbox_refused_total") == before + 1


def test_tenants_below_their_limit_or_without_one_are_admitted(full: Tables) -> None:
    full.add("k", "k", "k", tenant="unlimited")
    count(full)
    assert not is_refused("zeta")
    assert not is_refused("unlimited")


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_of_many_events_with_one_of_a_full_tenant_none_is_written(full: Tables, make: Any) -> None:
    events = [NewEvent(topic="news", payload=1, tenant_id=tenant) for tenant in ("zeta", "acme", "zeta")]
    with pytest.raises(BacklogFull):
        enqueue_many(make(events))
    assert OutboxEvent.objects.count() == 4
    assert enqueue_many(make(events[:1])).created == 1


def test_the_callers_connection_has_nothing_to_do_with_it(
    full: Tables, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        send("zeta")


def test_once_known_nobody_waits_and_nothing_is_started(full: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "GRACE_SECONDS", 60)
    assert is_refused()

    def fail(tenant_id: str | None) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr(gate(), "ask", fail)
    assert is_refused()
    assert not is_refused("zeta")


def test_limits_can_be_switched_off(full: Tables, settings: Settings) -> None:
    settings.OUTBOX_BACKLOG_LIMITS = False
    assert not is_refused()
    assert enqueue_many([NewEvent(topic="news", payload=1, tenant_id="acme")]).created == 1
    assert admission._gates == {}


def test_after_a_pause_a_tenant_with_a_limit_is_judged_anew(full: Tables) -> None:
    assert is_refused()
    full.policy("acme", backlog_limit=3)
    expire()
    assert not is_refused()
    full.policy("acme", backlog_limit=1)
    expire()
    assert is_refused()


def test_after_a_pause_a_tenant_without_a_limit_does_not_wait(full: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    send("unlimited")
    expire()
    hold = threading.Event()
    monkeypatch.setattr(gate(), "_run", lambda: hold.wait(60))
    send("unlimited")
    hold.set()


def test_while_events_are_enqueued_limits_are_read_again_and_again(
    full: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "LIMITED_SECONDS", 0.05)
    assert is_refused()
    full.policy("acme", backlog_limit=3)
    wait_until(lambda: not is_refused())
    full.policy("acme", backlog_limit=1)
    wait_until(is_refused)


def test_the_session_is_closed_when_no_more_events_come(full: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LIMITED_SECONDS", 0.05)
    assert is_refused()
    wait_until(lambda: full.sessions_of_relays("admission") == [])


def test_without_limits_and_without_a_count_everything_is_admitted(tables: Tables) -> None:
    tables.add("k")
    assert not is_refused()
    known = gate().known
    assert known is not None
    assert (known.limited, known.full) == (frozenset(), {})
    assert tables.one("SELECT count(*) FROM outbox_backlog_counts") == 0


def test_without_relays_the_process_counts_by_itself(tables: Tables) -> None:
    tables.policy("acme", backlog_limit=2)
    tables.add("k", "k")
    assert is_refused()


def test_a_count_that_is_out_of_date_refuses_nobody(full: Tables) -> None:
    old = "taken_at = taken_at - interval '61 s', seconds = 0, next_at = '2100-01-01'"
    full.execute(f"UPDATE outbox_backlog_counts SET {old}")  # noqa: S608
    assert not is_refused()
    full.execute("UPDATE outbox_backlog_counts SET seconds = 1")
    expire()
    assert is_refused()


def test_a_count_that_fails_is_done_without(full: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, alias: str) -> bool:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(counting, "count_if_due", fail)
    full.execute("UPDATE outbox_backlog_counts SET next_at = '2001-01-01'")
    assert is_refused()


def test_what_cannot_be_read_refuses_nobody_and_is_said_once(
    full: Tables, broken: None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert not is_refused()
        expire()
    (record,) = [each for each in caplog.records if each.name == admission.__name__]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == ("Backlog limits cannot be read now, every event is admitted: too many connections")


def test_limits_hold_again_when_they_can_be_read_again(full: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(admission, "open_session", lambda alias, *, name: 1 / 0)
        assert not is_refused()
        expire()
    wait_until(is_refused)


def test_a_database_that_does_not_answer_is_waited_for_once(full: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr(admission, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(admission, "open_session", lambda alias, *, name: hold.wait(60) and 1 / 0)
    assert not is_refused()
    monkeypatch.setattr(admission, "WAIT_SECONDS", 10_000)
    assert not is_refused()
    hold.set()
    wait_until(lambda: gate()._thread is None)
