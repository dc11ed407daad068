"""Starting a job: a page that says what would be done to all events of a list, and asks why."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from circuits.console.back import way_back, with_back
from circuits.console.columns import AnyModelAdmin
from outbox.admin.job_forms import JobForm, Wanted, look, wanted
from outbox.admin.operator import operator
from outbox.models import JobVerb
from outbox.operations import discard
from outbox.operations.filters import InvalidFilter
from outbox.operations.jobs import desk
from outbox.operations.jobs.verbs import PERMISSIONS, InvalidJob

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


class JobStartPages(AnyModelAdmin):
    """The way from a list of events to a job."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.start_view)
        return [path("start/<str:verb>/", view, name="outbox_job_start"), *super().get_urls()]

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
        is_valid = form.is_valid()
        asked = asked.as_shown(form)
        return self._start(request, asked, form, using) if is_valid else self._ask(request, asked, form, using)

    def _ask(self, request: HttpRequest, asked: Wanted, form: JobForm | None, using: str) -> HttpResponse:
        sent = bool(form and form.data.get("duplicate_sent")) or asked.is_of_sent
        matching = look(asked, duplicate_sent=sent, using=using)
        back = way_back(request, otherwise=self._list_of_events(request))
        verb = asked.verb.value
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.capitalize()} everything matching",
            "opts": self.opts,
            "media": self.media,
            "effect": _EFFECTS[asked.verb],
            "matching": matching,
            "needs_sent": asked.is_of_sent,
            "form": form or asked.form(initial={**matching.hidden, "back": back}),
            "submit": f"Start the {verb}",
            "back": back,
        }
        return TemplateResponse(request, "admin/outbox/outboxjob/start.html", context)

    def _start(self, request: HttpRequest, asked: Wanted, form: JobForm, using: str) -> HttpResponse:
        sent = bool(form.cleaned_data.get("duplicate_sent"))
        expected, more = form.expected
        try:
            job_id = desk.start(
                verb=asked.verb,
                given=asked.filter(duplicate_sent=sent),
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
        back = way_back(request, otherwise=self._list_of_events(request))
        if self.has_view_permission(request):
            page = reverse("admin:outbox_outboxjob_change", args=[job_id])
            return HttpResponseRedirect(with_back(page, back))
        self.message_user(request, f"Job {job_id} has started.", messages.SUCCESS)
        return HttpResponseRedirect(back)

    def _list_of_events(self, request: HttpRequest) -> str:
        query = request.GET.copy()
        query.pop("back", None)
        return f"{reverse('admin:outbox_outboxevent_changelist')}{'?' if query else ''}{query.urlencode()}"
