"""Pictures of the console for the documentation: `make screenshots`. Not collected as a test unless it is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest
from django.contrib.auth.models import User
from django.db.models import Min, Sum
from django.utils import timezone

from outbox.models import BacklogCount, OutboxRelay, TenantBacklog
from somabrain.embedded.paths import CHECKOUT
from tests.browser import scene
from tests.browser.conftest import OpenPage
from tests.browser.pages import PAGES

_DIRECTORY = CHECKOUT / "docs" / "images"
_SIZES = {"wide": (1280, 800), "narrow": (390, 800)}
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_PAGES = {
    "overview": "list of outbox.overview",
    "tenant": "tenant in trouble",
    "events": "dead letters",
    "event": "event failed",
    "dead-letters": "dead letters in groups",
    "job": "running job",
    "pause": "pause",
    "circuits": "list of circuits.tenantcircuit",
    "circuit": "open circuit",
    "actions": "list of outbox.operatoraction",
    "decide": "replay",
    "jobs": "list of outbox.outboxjob",
    "limits": "one circuits.stafftenantscope",
    "policy": "one outbox.tenantpolicy",
    "relays": "list of outbox.outboxrelay",
    "reveal": "reveal",
    "start": "start of a job",
}


@pytest.fixture(scope="module")
def ann(db: None) -> User:
    scene.build(events=1_500)
    _enlarge()
    return scene.people()["ann"]


@pytest.mark.parametrize("scheme", _SCHEMES)
@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("name", _PAGES)
def test_a_picture_is_taken(
    open_page: OpenPage, ann: User, name: str, size: str, scheme: Literal["light", "dark"]
) -> None:
    OutboxRelay.objects.update(heartbeat_at=timezone.now())
    BacklogCount.objects.update(taken_at=timezone.now())
    width, height = _SIZES[size]
    page = open_page(ann, width=width, height=height, scheme=scheme)
    page.goto(PAGES[_PAGES[name]](), wait_until="networkidle")
    page.screenshot(path=_DIRECTORY / _picture(name, size, scheme), animations="disabled", caret="hide")


def pictures() -> list[str]:
    """The names of all."""
    return [_picture(name, size, scheme) for name in _PAGES for size in _SIZES for scheme in _SCHEMES]


def _picture(name: str, size: str, scheme: str) -> str:
    return f"console-{name}-{size}-{scheme}.png"


def _enlarge() -> None:
    """As counted when there is much to do, since nobody makes 40,000 events for a picture; and no other count."""
    now = timezone.now()
    for tenant, pending, minutes in ((scene.LOCKED_OUT, 38_001, 12.2), (scene.NOISY, 2_914, 0.4), ("octocat", 41, 0.1)):
        oldest = now - timedelta(minutes=minutes)
        values = {"pending": pending, "oldest_pending_at": oldest, "taken_at": now}
        TenantBacklog.objects.update_or_create(tenant_id=tenant, defaults=values)
    oldest = TenantBacklog.objects.aggregate(at=Min("oldest_pending_at"))["at"]
    pending = TenantBacklog.objects.aggregate(sum=Sum("pending"))["sum"]
    BacklogCount.objects.update(
        pending=pending, oldest_pending_at=oldest, taken_at=now, next_at=now + timedelta(days=1)
    )
