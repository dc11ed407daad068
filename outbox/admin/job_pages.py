"""The page of a job, its figures, and steering it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from circuits.console import scope
from circuits.console.back import way_back, with_back
from circuits.console.columns import AnyModelAdmin
from outbox.admin.decisions import ReasonForm
from outbox.admin.job_words import told_of
from outbox.admin.operator import operator
from outbox.models import JobState, JobVerb, OutboxJob
from outbox.operations.jobs import desk
from outbox.operations.jobs.progress import progress_of
from outbox.operations.jobs.states import OPERATORS, ImpossibleTransition, possible
from outbox.operations.jobs.verbs import PERMISSIONS

_MOVES = {
    "pause": "After the batch that is under way nothing more is changed, until somebody resumes it.",
    "resume": "It goes on where it stopped.",
    "cancel": "After the batch that is under way nothing more is changed. What is done stays done.",
}


class JobPages(AnyModelAdmin):
    """Views of jobs beside the list."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:job_id>/figures/", view(self.figures_view), name="outbox_job_figures"),
            path("<int:job_id>/move/<str:action>/", view(self.move_view), name="outbox_job_move"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One job, with figures that are refreshed."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        job = self._job(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{JobVerb(job.verb).label.capitalize()} job {job.pk}",
            "opts": self.opts,
            "media": self.media,
            "job": job,
            "words": told_of(job),
            "figures_url": with_back(
                reverse("admin:outbox_job_figures", args=[job.pk]), way_back(request, otherwise="")
            ),
            **self._figures(request, job),
        }
        return TemplateResponse(request, "admin/outbox/outboxjob/job.html", context)

    def figures_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        """What changes of a job's page."""
        job = self._job(request, str(job_id))
        return TemplateResponse(request, "admin/outbox/outboxjob/figures.html", self._figures(request, job))

    def move_view(self, request: HttpRequest, job_id: int, action: str) -> HttpResponse:
        """Asks, and pauses, resumes or cancels once it is confirmed."""
        job = self._job(request, str(job_id))
        move = next((each for each in OPERATORS if each.value == action), None)
        if move is None:
            raise Http404
        if not request.user.has_perm(PERMISSIONS[JobVerb(job.verb)]):
            raise PermissionDenied
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._ask_to_move(request, job, action, form)
        how = {"by": operator(request), "reason": form.cleaned_data["reason"], "tenants": scope.tenants_of(request)}
        try:
            desk.move(job.pk, move, **how, using=self.get_queryset(request).db)
        except ImpossibleTransition as error:
            self.message_user(request, f"Nothing was changed: {error}.", messages.WARNING)
        return HttpResponseRedirect(way_back(request, otherwise=_page(job)))

    def _ask_to_move(self, request: HttpRequest, job: OutboxJob, action: str, form: ReasonForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{action.capitalize()} {job.verb} job {job.pk}",
            "opts": self.opts,
            "media": self.media,
            "effect": _MOVES[action],
            "words": told_of(job),
            "job": job,
            "form": form,
            "submit": f"{action.capitalize()} the job",
            "back": way_back(request, otherwise=_page(job)),
        }
        return TemplateResponse(request, "admin/outbox/outboxjob/move.html", context)

    def _job(self, request: HttpRequest, object_id: str) -> OutboxJob:
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = self.get_object(request, object_id)
        if not isinstance(job, OutboxJob):
            raise Http404("There is no such job.")
        return job

    def _figures(self, request: HttpRequest, job: OutboxJob) -> dict[str, Any]:
        may = request.user.has_perm(PERMISSIONS[JobVerb(job.verb)])
        back = way_back(request, otherwise="")
        return {
            "back": back,
            "here": with_back(_page(job), back),
            "job": job,
            "progress": progress_of(job),
            "moves": [each.value for each in possible(JobState(job.state))] if may else [],
            "stuck": OutboxJob.objects.using(job._state.db).filter(pk=job.pk).stuck().exists(),
        }


def _page(job: OutboxJob) -> str:
    return reverse("admin:outbox_outboxjob_change", args=[job.pk])
