"""The Python in the README and in the how-to pages does what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from django.contrib.auth.models import User
from django.db import transaction

from outbox.api import get_pending_events
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
