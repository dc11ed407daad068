from __future__ import annotations

import pytest
from django.db import DatabaseError, connection

from circuits.models import TenantCircuit
from outbox.models import EventStatus, OutboxEvent
from somabrain.demo import trouble, webhooks
from somabrain.demo.application import Application
from somabrain.demo.progress import Observer
from somabrain.models import WebhookDelivery

pytestmark = pytest.mark.django_db


def test_a_webhook_becomes_a_delivery_and_an_event() -> None:
    application = Application()
    webhook = webhooks.recorded()[0]
    event = OutboxEvent.objects.get(pk=application.receive(webhook))
    delivery = WebhookDelivery.objects.get()
    assert delivery.delivery_key == event.dedupe_key
    assert (event.tenant_id, event.topic, event.payload) == (webhook.tenant_id, webhook.topic, webhook.payload)
    assert application.committed == 1


def test_neither_is_there_without_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr("somabrain.demo.application.enqueue", fail)
    application = Application()
    with pytest.raises(DatabaseError):
        application.receive(webhooks.recorded()[0])
    assert not WebhookDelivery.objects.exists()
    assert application.committed == 0


def test_a_burst_commits_as_many_deliveries_as_events() -> None:
    application = Application()
    application.receive_burst(webhooks.recorded()[:20])
    assert WebhookDelivery.objects.count() == OutboxEvent.objects.count() == application.committed == 20


def test_the_same_webhook_is_another_delivery_in_every_run() -> None:
    for application in (Application(), Application()):
        application.receive(webhooks.recorded()[0])
        application.receive(webhooks.recorded()[0])
    assert OutboxEvent.objects.count() == 4


def test_progress_tells_what_became_of_the_run_and_of_no_other() -> None:
    Application().receive_burst(webhooks.recorded()[:5])
    application = Application()
    application.receive_burst(webhooks.recorded()[:10])
    ours = OutboxEvent.objects.filter(dedupe_key__startswith=application.name)
    ids = list(ours.values_list("pk", flat=True))
    OutboxEvent.objects.filter(pk__in=ids[:6]).update(status=EventStatus.SENT)
    OutboxEvent.objects.filter(pk=ids[6]).update(status=EventStatus.FAILED)
    progress = Observer(application).look()
    assert (progress.committed, progress.published, progress.dead, progress.pending) == (10, 6, 1, 3)
    assert "committed 10  published 6  pending 3" in progress.line()
    assert "dead letters 1" in progress.line()


def test_what_waits_behind_an_open_circuit_is_told_apart() -> None:
    application = Application()
    trouble.receive(application)
    application.receive(webhooks.recorded()[0])
    assert (Observer(application).look().pending, Observer(application).look().blocked) == (2, 0)
    TenantCircuit.objects.create(
        tenant_id=trouble.TENANT, name="publish", state="open", open_until="2100-01-01T00:00:00Z"
    )
    progress = Observer(application).look()
    assert (progress.committed, progress.published, progress.pending, progress.blocked) == (2, 0, 1, 1)
    assert "circuit open: locked-out, 1 blocked" in progress.line()


def test_the_latency_is_that_of_the_others_in_the_last_looks() -> None:
    application = Application()
    old = [application.receive(each) for each in webhooks.recorded()[:5]]
    observer = Observer(application)
    assert observer.look().latency is None
    for number in range(8):
        trouble.receive(application)
        observer.look()
        old.append(application.receive(webhooks.recorded()[number]))
    _acknowledge(after="0.25 s")
    progress = observer.look()
    assert progress.latency == (0.25, 0.25)
    assert "p50 250 ms, p99 250 ms" in progress.line()
    OutboxEvent.objects.filter(tenant_id=trouble.TENANT).update(sent_at="2100-01-01T00:00:00Z")
    OutboxEvent.objects.filter(pk__in=old[:5]).update(sent_at="2100-01-01T00:00:00Z")
    assert observer.look().latency == (0.25, 0.25)
    for _ in range(10):
        observer.look()
    assert observer.look().latency is None


def _acknowledge(*, after: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE outbox_events SET status = 'sent', sent_at = created_at + %s::interval", [after])
