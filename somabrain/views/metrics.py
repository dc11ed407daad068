"""Metrics of this service's processes and of its database, for Prometheus."""

from __future__ import annotations

import os
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from circuits.collector import CircuitCollector
from outbox.admin.rights import rights
from outbox.metrics import OutboxCollector
from somabrain.memory import metrics as memory

_outbox = OutboxCollector()
_circuits = CircuitCollector()


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Everything in one answer, for who has the token, for staff who may see every tenant's figures, and in development
    for everyone.
    """
    if not _may_read(request):
        return HttpResponse(
            "METRICS_TOKEN is asked for, as a bearer token.\n",
            status=HTTPStatus.UNAUTHORIZED,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer"},
        )
    memory.refresh()
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(_registry()), content_type=content_type)


def _may_read(request: HttpRequest) -> bool:
    if settings.DEBUG:
        return True
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        return constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    return request.user.is_active and request.user.is_staff and _may_see_everyone(request)


def _may_see_everyone(request: HttpRequest) -> bool:
    """What waits and the circuits are labelled by tenant, so whoever is limited to some tenants reads none of it."""
    may = rights(request)
    return may.everyone and may.overview and may.circuits


def _registry() -> CollectorRegistry:
    """What several processes of one host share in a directory, or what this one knows; and the database."""
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(registry)
    else:
        registry.register(REGISTRY)
    registry.register(_outbox)
    registry.register(_circuits)
    return registry
