"""The application: what it receives it writes down, and tells others, in one transaction."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Sequence

from django.db import transaction

from outbox.api import NewEvent, enqueue, enqueue_many
from somabrain.demo.webhooks import Webhook
from somabrain.models import WebhookDelivery


class Application:
    """One run of the demo. The same webhooks come again in every run, so its name is part of their keys."""

    def __init__(self) -> None:
        self.name = f"demo-{secrets.token_hex(4)}-"
        self.committed = 0
        self._numbers = itertools.count(1)

    def receive(self, webhook: Webhook) -> int:
        """Commit the delivery and its event; returns the event's id."""
        key = self._key(webhook)
        with transaction.atomic():
            WebhookDelivery.objects.create(tenant_id=webhook.tenant_id, kind=webhook.topic, delivery_key=key)
            event = enqueue(
                topic=webhook.topic,
                payload=webhook.payload,
                tenant_id=webhook.tenant_id,
                partition_key=webhook.partition_key,
                dedupe_key=key,
                headers={"source": "github"},
            )
        self.committed += 1
        return event.event_id

    def receive_burst(self, webhooks: Sequence[Webhook]) -> None:
        """Commit many deliveries at once, with their events."""
        keys = [self._key(webhook) for webhook in webhooks]
        with transaction.atomic():
            WebhookDelivery.objects.bulk_create(_deliveries(webhooks, keys))
            enqueue_many(_events(webhooks, keys))
        self.committed += len(webhooks)

    def _key(self, webhook: Webhook) -> str:
        return f"{self.name}{next(self._numbers):09}-{webhook.dedupe_key}"


def _deliveries(webhooks: Iterable[Webhook], keys: Iterable[str]) -> list[WebhookDelivery]:
    return [
        WebhookDelivery(tenant_id=webhook.tenant_id, kind=webhook.topic, delivery_key=key)
        for webhook, key in zip(webhooks, keys, strict=True)
    ]


def _events(webhooks: Iterable[Webhook], keys: Iterable[str]) -> Iterable[NewEvent]:
    for webhook, key in zip(webhooks, keys, strict=True):
        yield NewEvent(
            topic=webhook.topic,
            payload=webhook.payload,
            tenant_id=webhook.tenant_id,
            partition_key=webhook.partition_key,
            dedupe_key=key,
        )
