"""Dead letters in groups, each of which one click replays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from circuits.console import scope
from circuits.console.columns import AnyModelAdmin
from outbox.admin.job_start import VIEW_EVENTS
from outbox.models import EventStatus, JobVerb
from outbox.operations.dead_letters import MOST_NAMES, Group, groups
from outbox.operations.jobs.verbs import PERMISSIONS

_OFFERED = (JobVerb.REPLAY, JobVerb.DISCARD)


class DeadLetterPages(AnyModelAdmin):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.dead_letters_view)
        return [path("dead-letters/", view, name="outbox_dead_letters"), *super().get_urls()]

    def dead_letters_view(self, request: HttpRequest) -> HttpResponse:
        """By error class and by topic; of staff limited to some tenants these tenants' alone."""
        if not request.user.has_perm(VIEW_EVENTS):
            raise PermissionDenied
        found = groups(tenants=scope.tenants_of(request), using=self.get_queryset(request).db)
        verbs = [verb.value for verb in _OFFERED if request.user.has_perm(PERMISSIONS[verb])]
        context = {
            **self.admin_site.each_context(request),
            "title": "Dead letters",
            "opts": self.opts,
            "media": self.media,
            "most_names": MOST_NAMES,
            "kinds": [
                ("Error class", found.by_class, list(_rows(found.by_class.groups, "error_class", verbs))),
                ("Topic", found.by_topic, list(_rows(found.by_topic.groups, "topic", verbs))),
            ],
        }
        return TemplateResponse(request, "admin/outbox/outboxjob/dead_letters.html", context)


def _rows(found: Iterable[Group], parameter: str, verbs: list[str]) -> Iterator[dict[str, Any]]:
    here = reverse("admin:outbox_dead_letters")
    for group in found:
        query = {"status__exact": EventStatus.FAILED.value, parameter: group.name}
        start = urlencode({**query, "back": here})
        yield {
            "group": group,
            "list": f"{reverse('admin:outbox_outboxevent_changelist')}?{urlencode(query)}" if group.name else "",
            "starts": [(verb, f"{reverse('admin:outbox_job_start', args=[verb])}?{start}") for verb in verbs]
            if group.name
            else [],
        }
