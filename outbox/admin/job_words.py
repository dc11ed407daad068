"""What a job is about, as pages say it."""

from __future__ import annotations

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from circuits.console.times import moment
from outbox.models import OutboxJob
from outbox.operations.filters import Filter
from outbox.operations.jobs.progress import asked_by, parts


def told(asked: Filter, *, tenants: int | None = None) -> SafeString:
    """The filter as people say it, its time in the viewer's zone with its age."""
    return format_html_join(" ", "{}", ((each,) for each in parts(asked, tenants=tenants, say=moment)))


def told_of(job: OutboxJob) -> SafeString:
    asked, tenants = asked_by(job)
    return told(asked, tenants=tenants)
