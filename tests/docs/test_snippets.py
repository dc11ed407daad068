"""The Python in the README and in the how-to pages does what it says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import isolate_apps

from outbox.api import get_pending_events
from outbox.kafka.message import constant_headers, event_headers, message_key
from outbox.models import OutboxEvent, TenantPolicy
from somabrain.embedded.paths import CHECKOUT
from tests.docs.pages import DOCS, blocks, run
from tests.support.mock_cluster import MockCluster

PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_all_python_is_python(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, f"{page}:{block.line}", "exec")


def _python(page: Path, names: dict[str, Any]) -> None:
    for block in blocks(page):
        if block.language == "python":
            run(page, block, names)


@pytest.mark.django_db
def test_the_three_attempts_of_the_readme_run(mock_cluster: MockCluster) -> None:
    producer = Producer({"bootstrap.servers": mock_cluster.bootstrap_servers})
    order = User(username="an order")
    _python(CHECKOUT / "README.md", {"order": order, "producer": producer, "json": json, "transaction": transaction})
    (event,) = get_pending_events()
    assert (event.topic, event.tenant_id, event.partition_key) == ("orders", "acme", str(order.pk))
    assert event.payload == {"id": order.pk, "state": "placed"}


@pytest.mark.django_db
def test_what_is_said_about_enqueueing_holds() -> None:
    _python(DOCS / "how-to" / "enqueue.md", {"Order": User, "order": User(username="an order")})
    assert OutboxEvent.objects.filter(topic="stock").count() == 20_000
    assert OutboxEvent.objects.filter(topic="reminders", status="scheduled").count() == 1
    assert OutboxEvent.objects.filter(topic="heartbeats", tenant_id="default").count() == 1


@pytest.mark.django_db
def test_what_is_said_about_steering_tenants_holds() -> None:
    _python(DOCS / "how-to" / "steer-tenants.md", {})
    policy = TenantPolicy.objects.get()
    assert (policy.tenant_id, policy.paused, policy.weight) == ("acme", False, 3)
    assert (policy.rate, policy.batch_quota, policy.backlog_limit) == (50, 200, 100_000)


@pytest.fixture
def billing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The modules of the page about consuming, and the bills that they write."""
    models_block, consume_block = (block for block in blocks(_CONSUME) if block.language == "python")
    bills: list[Any] = []
    modules = {name: ModuleType(name) for name in ("billing", "billing.models", "billing.bills", "billing.consume")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    modules["billing.bills"].write_bill = bills.append  # type: ignore[attr-defined]
    with isolate_apps("outbox"):
        # A model has to belong to an app that is installed.
        names = vars(modules["billing.models"]) | {"__name__": "outbox.models"}
        run(_CONSUME, models_block, names)
    vars(modules["billing.models"]).update(names)
    run(_CONSUME, consume_block, vars(modules["billing.consume"]))
    with connection.schema_editor() as editor:
        editor.create_model(names["SeenEvent"])
    yield bills


_CONSUME = DOCS / "how-to" / "consume.md"


@pytest.mark.django_db
def test_a_consumer_written_like_this_does_nothing_twice(billing: list[Any], mock_cluster: MockCluster) -> None:
    for event_id in (1, 2, 1, 2, 3):
        _publish(mock_cluster, event_id)
    consumer = Consumer(
        {"bootstrap.servers": mock_cluster.bootstrap_servers, "group.id": "billing", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition("orders", partition, 0) for partition in range(4)])
    while len(billing) < 3:
        sys.modules["billing.consume"].consume(consumer)
    consumer.close()
    assert billing == [{"order": 1}, {"order": 2}, {"order": 3}]


def _publish(cluster: MockCluster, event_id: int) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    producer.produce(
        "orders",
        json.dumps({"order": event_id}),
        message_key("acme", "all", ""),
        headers=list(event_headers(constant_headers("acme"), f"order-{event_id}", event_id, 0, 0)),
    )
    producer.flush(30)


def test_isolated_models_leave_no_trace() -> None:
    from django.apps import apps

    assert isinstance(apps, Apps)
    assert "seenevent" not in apps.all_models["outbox"]
