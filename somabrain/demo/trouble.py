"""One tenant whose topic the broker refuses for a while: its circuit opens, and closes by itself."""

from __future__ import annotations

import itertools

from django.db import connection, transaction

from circuits.operations import steering, thresholds
from outbox.api import enqueue
from outbox.relay.circuit import NAME
from somabrain.demo.application import Application

TENANT = "locked-out"
TOPIC = "locked-out.orders"
SECONDS = 35.0
"""How long the demo's own broker refuses the topic, unless it is told otherwise, from its start on."""
PROBE_SECONDS = 10.0
"""How often the circuit tries whether it may close, at least. The default doubles from half a minute on."""

_numbers = itertools.count(1)


def prepare(*, seconds: float) -> None:
    """The tenant's circuit begins anew, with thresholds that suit somebody who watches trouble of so many seconds."""
    interval = min(PROBE_SECONDS, max(1.0, seconds / 3))
    intervals = {"reset_interval": interval, "max_reset_interval": interval}
    thresholds.configure(tenant_id=TENANT, name=NAME, by="demo", reason="somebody watches", changes=intervals)
    steering.reset(tenant_id=TENANT, name=NAME, by="demo", reason="the demo begins")


def receive(application: Application) -> None:
    """Commit one event of the tenant."""
    number = next(_numbers)
    with transaction.atomic():
        enqueue(
            topic=TOPIC,
            payload={"order": number},
            tenant_id=TENANT,
            partition_key=f"order-{number}",
            dedupe_key=f"{application.name}{TENANT}-{number:09}",
        )
    application.committed += 1


def behind_open_circuits() -> frozenset[str]:
    """Tenants of which nothing may be published now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM circuits_now WHERE name = 'publish' AND NOT may_call")
        return frozenset(row[0] for row in cursor.fetchall())
