"""Starting jobs and steering them: pages that say what would be done, and ask why."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from circuits.console import scope
from circuits.console.back import way_back
from circuits.console.lists import AnyModelAdmin
from outbox.admin.decisions import ReasonForm
from outbox.admin.job_forms import JobForm, Wanted, wanted
from outbox.admin.operator import operator
from outbox.models import JobState, JobVerb, OutboxJob
from outbox.operations import discard
from outbox.operations.bulk import settled
from outbox.operations.filters import InvalidFilter
from outbox.operations.jobs import desk
from outbox.operations.jobs.preview import preview
from outbox.operations.jobs.progress import progress_of, words, words_of
from outbox.operations.jobs.states import OPERATORS, ImpossibleTransition, possible
from outbox.operations.jobs.verbs import PERMISSIONS, InvalidJob, plan

VIEW_EVENTS = "outbox.view_outboxevent"
_EFFECTS = {
    JobVerb.REPLAY: (
        "They become pending again, as new ones but for their number and their place, and are published with a header "
        "replay, each tenant's at that tenant's fair share."
    ),
    JobVerb.DISCARD: (
        f"They are not published any more, unless somebody replays them. Later events of a key that waited for one of "
        f"them go out. {discard.UNDER_WAY}"
    ),
    JobVerb.REQUEUE: (
        "Events that wait for another attempt are due at once; their failed attempts still count. Delayed events keep "
        "their time."
    ),
}
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
            path("start/<str:verb>/", view(self.start_view), name="outbox_job_start"),
            path("<int:job_id>/figures/", view(self.figures_view), name="outbox_job_figures"),
            path("<int:job_id>/move/<str:action>/", view(self.move_view), name="outbox_job_move"),
            *super().get_urls(),
        ]

    def start_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Says what a list of events holds, and starts a job on it once it is confirmed."""
        using = self.get_queryset(request).db
        if not request.user.has_perm(VIEW_EVENTS):
            raise PermissionDenied
        asked = wanted(request, verb, using=using)
        if not request.user.has_perm(PERMISSIONS[asked.verb]):
            raise PermissionDenied
        if request.method != "POST":
            return self._ask(request, asked, None, using)
        form = asked.form(request.POST)
        if not form.is_valid():
            return self._ask(request, asked, form, using)
        return self._start(request, asked, form, using)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One job, with figures that are refreshed."""
        if request.method != "GET":
            raise PermissionDenied
        job = self._job(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{JobVerb(job.verb).label.capitalize()} job {job.pk}",
            "opts": self.opts,
            "media": self.media,
            "job": job,
            "words": words_of(job),
            "figures_url": reverse("admin:outbox_job_figures", args=[job.pk]),
            **self._figures(request, job),
        }
        return TemplateResponse(request, "admin/outbox/outboxjob/job.html", context)

    def figures_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        """What changes of a job's page."""
        job = self._job(request, str(job_id))
        response = TemplateResponse(request, "admin/outbox/outboxjob/figures.html", self._figures(request, job))
        return response

    def move_view(self, request: HttpRequest, job_id: int, action: str) -> HttpResponse:
        """Asks, and pauses, resumes or cancels once it is confirmed."""
        job = self._job(request, str(job_id))
        move = next((each for each in OPERATORS if each.value == action), None)
        if move is None:
            raise Http404
        if not request.user.has_perm(PERMISSIONS[JobVerb(job.verb)]):
            raise PermissionDenied
        back = reverse("admin:outbox_outboxjob_change", args=[job.pk])
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                using, reason = self.get_queryset(request).db, form.cleaned_data["reason"]
                tenants = scope.tenants_of(request)
                desk.move(job.pk, move, by=operator(request), reason=reason, tenants=tenants, using=using)
            except ImpossibleTransition as error:
                self.message_user(request, f"Nothing was changed: {error}.", messages.WARNING)
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{action.capitalize()} {job.verb} job {job.pk}",
            "opts": self.opts,
            "media": self.media,
            "effect": _MOVES[action],
            "words": words_of(job),
            "job": job,
            "form": form,
            "submit": f"{action.capitalize()} the job",
            "back": back,
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
        return {
            "job": job,
            "progress": progress_of(job),
            "moves": [each.value for each in possible(JobState(job.state))] if may else [],
            "stuck": OutboxJob.objects.using(job._state.db).filter(pk=job.pk).stuck().exists(),
        }

    def _ask(self, request: HttpRequest, asked: Wanted, form: JobForm | None, using: str) -> HttpResponse:
        sent = bool(form and form.data.get("duplicate_sent")) or asked.is_of_sent
        given, problem, found = asked.filter(duplicate_sent=sent), "", None
        shown = given
        try:
            change, shown = plan(asked.verb, given, duplicate_sent=sent)
            shown = settled(change, shown, using=using)
            found = preview(asked.verb, shown, tenants=asked.tenants, duplicate_sent=sent, using=using)
        except (InvalidFilter, InvalidJob) as error:
            problem = str(error)
        back = way_back(request, otherwise=self._list_of_events(request))
        if form is None:
            counted = "" if found is None else f"{found.events}{'+' if found.more else ''}"
            form = asked.form(initial={"up_to_id": shown.up_to_id, "counted": counted, "back": back})
        of = None if asked.tenants is None or shown.tenant_id is not None else len(asked.tenants)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{asked.verb.label.capitalize()} everything matching",
            "opts": self.opts,
            "media": self.media,
            "effect": _EFFECTS[asked.verb],
            "words": words(shown, tenants=of),
            "problem": problem,
            "found": found,
            "needs_sent": asked.is_of_sent,
            "form": form,
            "submit": f"Start to {asked.verb.value}",
            "back": back,
        }
        return TemplateResponse(request, "admin/outbox/outboxjob/start.html", context)

    def _start(self, request: HttpRequest, asked: Wanted, form: JobForm, using: str) -> HttpResponse:
        sent = bool(form.cleaned_data.get("duplicate_sent"))
        given = asked.filter(duplicate_sent=sent)
        if not given.is_named:
            given = given.narrowed(up_to_id=form.cleaned_data["up_to_id"])
        expected, more = form.expected
        try:
            job_id = desk.start(
                verb=asked.verb,
                given=given,
                by=operator(request),
                reason=form.cleaned_data["reason"],
                tenants=asked.tenants,
                duplicate_sent=sent,
                rate=form.cleaned_data["rate"],
                expected=None if sent and not asked.is_of_sent else expected,
                expected_more=more,
                using=using,
            )
        except (InvalidFilter, InvalidJob) as error:
            form.add_error(None, f"{error}")
            return self._ask(request, asked, form, using)
        if self.has_view_permission(request):
            return HttpResponseRedirect(reverse("admin:outbox_outboxjob_change", args=[job_id]))
        self.message_user(request, f"Job {job_id} has started.", messages.SUCCESS)
        return HttpResponseRedirect(way_back(request, otherwise=self._list_of_events(request)))

    def _list_of_events(self, request: HttpRequest) -> str:
        query = request.GET.copy()
        query.pop("back", None)
        return f"{reverse('admin:outbox_outboxevent_changelist')}{'?' if query else ''}{query.urlencode()}"
