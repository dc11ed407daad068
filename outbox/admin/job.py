from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import Script
from django.http import HttpRequest
from django.utils.safestring import SafeString

from circuits.console import scope
from circuits.console.badges import badge
from circuits.console.lists import ReadOnlyAdmin
from circuits.console.times import moment
from outbox.admin.dead_letters import DeadLetterPages
from outbox.admin.job_pages import JobPages
from outbox.admin.job_start import JobStartPages
from outbox.admin.job_words import told_of
from outbox.models import OutboxJob
from outbox.operations.jobs.progress import progress_of


@admin.register(OutboxJob)
class JobAdmin(DeadLetterPages, JobStartPages, JobPages, ReadOnlyAdmin):
    """Replay, discard and requeue of many events, the latest first."""

    class Media:
        css: ClassVar[Any] = {"all": ("outbox/console.css", "outbox/jobs.css")}
        js = (Script("outbox/live.js", defer=True),)

    list_display = ("id", "verb", "what", "shown_state", "progress", "requested_by", "began", "reason")
    list_display_links = ("id", "verb")
    list_filter = ("state", "verb")
    list_per_page = 50
    ordering = ("-id",)
    sortable_by = ()
    narrower = "Choose a state or a verb."

    def own(self, rows: Any, request: HttpRequest) -> QuerySet[Any]:
        """Of staff limited to some tenants those that can touch none but these."""
        found: QuerySet[Any] = rows.within(scope.tenants_of(request))
        return found

    @admin.display(description="events")
    def what(self, job: OutboxJob) -> str:
        return told_of(job)

    @admin.display(description="state")
    def shown_state(self, job: OutboxJob) -> SafeString:
        return badge(job.state)

    @admin.display(description="progress")
    def progress(self, job: OutboxJob) -> str:
        percent = progress_of(job).percent
        done = f"{job.done:,} done"
        return done if percent is None or job.finished_at else f"{done}, {percent}%"

    @admin.display(description="asked for")
    def began(self, job: OutboxJob) -> Any:
        return moment(job.created_at)
