"""What `check` finds wrong, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import KafkaError
from django.db import connection
from django_q.conf import Conf
from pytest_django import Settings

import outbox
from outbox.kafka import metadata
from outbox.models import EventStatus, OutboxJob, OutboxRelay, TenantPolicy
from outbox.operations import backlog
from outbox.operations.backlog import Backlog, Totals
from outbox.operations.check import LAG, Finding, check
from outbox.operations.checking import broker, database, work
from outbox.operations.listing import database_now
from tests.outbox.operations.rows import event, failed
from tests.support.mock_cluster import MockCluster
from tests.support.sessions import sessions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def settled(settings: Settings, mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker, a relay, and a count that is made whenever it is asked for."""
    settings.OUTBOX_KAFKA_CONFIG = {"bootstrap.servers": mock_cluster.bootstrap_servers, "log_level": 0}
    settings.OUTBOX_BACKLOG_SECONDS = 0.01
    settings.OUTBOX_LEASE_SECONDS = 600
    monkeypatch.setattr("outbox.operations.check.FRESH", timedelta(0))
    monkeypatch.setattr(metadata, "REQUEST_SECONDS", 30.0)
    OutboxRelay.objects.create(host="a", pid=1, version=outbox.__version__, rate=10)


def found(level: str, **how: Any) -> list[tuple[str, str]]:
    return [(each.part, each.message) for each in check(**how) if each.level.value == level]


def parts(level: str, **how: Any) -> set[str]:
    return {part for part, _ in found(level, **how)}


def test_nothing_is_wrong_where_all_is_well() -> None:
    event(created_at=database_now())
    assert found("error") == []
    assert found("warning") == []
    assert parts("ok") == {
        "settings",
        "database",
        "migrations",
        "rights",
        "broker",
        "topics",
        "relays",
        "lag",
        "dead letters",
        "task queue",
        "jobs",
    }


def test_each_complaint_says_what_to_do() -> None:
    OutboxRelay.objects.all().delete()
    TenantPolicy.objects.create(tenant_id="acme", paused=True)
    failed()
    complaints = [each for each in check() if each.level.value != "ok"]
    assert complaints
    assert all(each.hint for each in complaints)


def test_a_setting_that_cannot_work_is_named(settings: Settings) -> None:
    settings.OUTBOX_BATCH_SIZE = 0
    (message,) = [message for part, message in found("error") if part == "settings"]
    assert "OUTBOX_BATCH_SIZE" in message


def test_a_database_that_does_not_answer_is_an_error_and_the_broker_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(alias: str) -> Iterator[Finding]:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(database, "reach", refuse)
    assert ("database", "could not be looked at: nobody there") in found("error")
    assert "broker" in parts("ok")
    assert "relays" not in parts("ok") | parts("error")


def test_an_unknown_database_is_an_error() -> None:
    assert ("database", "'nope' is not among DATABASES") in [(each.part, each.message) for each in check(using="nope")]


def test_missing_migrations_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "missing_migrations", lambda alias: ["outbox.0009_more"])
    assert ("migrations", "not applied: outbox.0009_more") in found("error")


def test_an_old_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST_VERSION", 99)
    assert "database" in parts("error")
    monkeypatch.undo()
    monkeypatch.setattr(database, "OLDEST_TESTED", 99)
    assert "database" in {each.part for each in database.reach("default") if each.level.value == "warning"}


def test_hidden_sessions_are_a_warning() -> None:
    """To a role without rights the sessions of others show nothing but that they are there."""
    with sessions(1) as (other,), connection.cursor() as cursor:
        other.begin()
        cursor.execute("CREATE ROLE outbox_blind; GRANT SELECT ON ALL TABLES IN SCHEMA public TO outbox_blind")
        try:
            cursor.execute("SET ROLE outbox_blind")
            hidden = database.rights("default")
        finally:
            cursor.execute("RESET ROLE; DROP OWNED BY outbox_blind; DROP ROLE outbox_blind")
        assert (hidden.level.value, database.rights("default").level.value) == ("warning", "ok")
        other.roll_back()


def test_a_broker_that_does_not_answer_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "REQUEST_SECONDS", 0.1)
    settings.OUTBOX_KAFKA_CONFIG = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    assert ("broker", "no answer from 127.0.0.1:1") in found("error")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "is missing"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "is forbidden"),
        (KafkaError.TOPIC_EXCEPTION, "refuses"),
    ],
)
def test_topics_with_events_waiting_are_asked_for(
    mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    monkeypatch.setattr(broker, "PATIENCE_SECONDS", 0)
    mock_cluster.create_topic("orders")
    mock_cluster.create_topic("returns")
    mock_cluster.fail_topic("returns", code)
    event(created_at=database_now())
    event(topic="returns", status=EventStatus.SCHEDULED, attempts=1)
    ((part, message),) = found("error")
    assert part == "topics"
    assert message.startswith("topic 'returns'")
    assert says in message


def test_events_that_wait_too_long_are_an_error_unless_their_tenant_is_paused() -> None:
    event(created_at=database_now() - timedelta(hours=1))
    event(created_at=database_now(), tenant_id="zeta")
    ((part, message),) = found("error")
    assert (part, "'acme'" in message) == ("lag", True)
    assert found("error", lag=timedelta(hours=2)) == []
    TenantPolicy.objects.create(tenant_id="acme", paused=True, paused_by="ann", paused_reason="import")
    assert found("error") == []
    assert [message for part, message in found("warning") if part == "pauses"] == [
        "tenant 'acme' is paused by ann: import"
    ]


def test_under_a_pause_of_everyone_nobody_is_late() -> None:
    event(created_at=database_now() - timedelta(hours=1))
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="ann", paused_reason="a move")
    assert found("error") == []
    assert ("pauses", "everyone is paused by ann: a move") in found("warning")


def test_nobody_publishes_without_a_relay() -> None:
    OutboxRelay.objects.update(heartbeat_at=database_now() - timedelta(hours=1))
    assert ("relays", "none is alive") in found("error")


def test_a_silent_relay_and_other_versions_are_warnings() -> None:
    OutboxRelay.objects.create(host="b", pid=2, version="0.0.1")
    OutboxRelay.objects.create(
        host="c", pid=3, version=outbox.__version__, heartbeat_at=database_now() - timedelta(hours=1)
    )
    said = [message for part, message in found("warning") if part == "relays"]
    assert len(said) == 2
    assert "the one on c, process 3" in said[0]
    assert "0.0.1" in said[1]


def test_dead_letters_are_a_warning() -> None:
    failed()
    assert ("dead letters", "1 wait for somebody") in found("warning")


def test_a_task_queue_that_does_not_move_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.operations.task_queue.longest_wait", lambda: timedelta(minutes=5))
    assert ("task queue", "a task has waited for 300 s") in found("error")
    monkeypatch.setattr("outbox.operations.task_queue.longest_wait", lambda: timedelta(seconds=1))
    assert work.task_queue().level.value == "ok"


def test_an_old_count_and_none_at_all_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Backlog(taken_at=None, read_at=None, tenants=(), totals=Totals())
    assert [each.level.value for each in work.lag(nothing, threshold=LAG, alias="default")] == ["warning"]
    now = database_now()
    old = Backlog(taken_at=now - timedelta(minutes=5), read_at=now, tenants=(), totals=Totals())
    first, second = work.lag(old, threshold=LAG, alias="default")
    assert (first.level.value, second.level.value) == ("warning", "ok")
    assert "300 s ago" in first.message


@pytest.mark.parametrize(("name", "says"), [("ORM", "is not in the database"), ("app", "not installed")])
def test_a_task_queue_elsewhere_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, name: str, says: str) -> None:
    if name == "ORM":
        monkeypatch.setattr(Conf, "ORM", None)
    else:
        monkeypatch.setattr("django.apps.apps.is_installed", lambda app: False)
    assert says in work.task_queue().message


def test_a_topic_whose_leader_is_away_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_ask", lambda client, topic: KafkaError.LEADER_NOT_AVAILABLE)
    event(created_at=database_now())
    assert ("topics", "topic 'orders' has no leader at present") in found("warning")


def test_a_count_that_fails_is_an_error_and_the_rest_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    original = backlog.snapshot

    def fail_to_count(*, refresh_if_older_than: timedelta | None = None, using: str) -> backlog.Backlog:
        if refresh_if_older_than is not None:
            raise backlog.CountFailed("it took too long")
        return original(using=using)

    monkeypatch.setattr(backlog, "snapshot", fail_to_count)
    assert ("lag", "it took too long") in found("error")
    assert "relays" in parts("ok")


def test_jobs_that_nobody_looks_for_are_an_error_and_those_that_went_wrong_a_warning() -> None:
    stuck, wrong = (OutboxJob.objects.create(verb="replay", reason="x", source="admin") for _ in range(2))
    OutboxJob.objects.filter(pk=stuck.pk).update(offered_at="2020-01-01T00:00Z")
    OutboxJob.objects.filter(pk=wrong.pk).update(state="running", failures=1, error="gone")
    assert ("jobs", f"no worker looks for job {stuck.pk}") in found("error")
    assert ("jobs", f"job {wrong.pk} went wrong: gone") in found("warning")
