"""What is asked before a job starts, and from which list of events it comes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest

from circuits.console import scope
from outbox import conf
from outbox.admin.decisions import ReasonForm
from outbox.admin.event_list import asked
from outbox.admin.job_words import told
from outbox.models import EventStatus, JobVerb
from outbox.operations import replay
from outbox.operations.bulk import settled
from outbox.operations.filters import Filter, InvalidFilter
from outbox.operations.jobs.desk import FASTEST, SLOWEST
from outbox.operations.jobs.preview import Found, preview
from outbox.operations.jobs.verbs import InvalidJob, plan

_COUNTED = re.compile(r"(\d{1,9})(\+?)")


class JobForm(ReasonForm):
    rate = forms.FloatField(
        required=False,
        min_value=SLOWEST,
        max_value=FASTEST,
        label="Events per second",
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
    )
    # What was shown is what is done: nothing newer, and the progress counts to what was counted.
    up_to_id = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)
    created_before = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)
    counted = forms.CharField(required=False, widget=forms.HiddenInput)
    back = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rate"].help_text = f"At most so many are changed. Empty: {conf.get().job_rate:,g}."

    def clean_created_before(self) -> datetime | None:
        text = self.cleaned_data["created_before"]
        try:
            found = datetime.fromisoformat(text) if text else None
        except ValueError:
            found = None
        if text and (found is None or found.tzinfo is None):
            raise ValidationError("It is not known any more which events were shown: go back, and begin again.")
        return found

    @property
    def expected(self) -> tuple[int | None, bool]:
        """How many events were counted, and whether there were more."""
        found = _COUNTED.fullmatch(self.cleaned_data["counted"])
        return (int(found[1]), bool(found[2])) if found else (None, False)


class ReplayJobForm(JobForm):
    duplicate_sent = forms.BooleanField(
        required=False, label="Sent events too", help_text=f"{replay.DUPLICATE} Without it they are left alone."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a request asks for."""

    verb: JobVerb
    given: Filter
    tenants: frozenset[str] | None

    @property
    def form(self) -> type[JobForm]:
        return ReplayJobForm if self.verb is JobVerb.REPLAY else JobForm

    def filter(self, *, duplicate_sent: bool) -> Filter:
        """With sent events if they are wanted as well."""
        given = self.given
        if not duplicate_sent or given.is_named or EventStatus.SENT in given.statuses:
            return given
        return given.narrowed(statuses=(*(given.statuses or (EventStatus.FAILED,)), EventStatus.SENT))

    def as_shown(self, form: JobForm) -> Wanted:
        """No event that came, or grew as old as was asked for, after the page was shown."""
        values = form.cleaned_data
        kept: dict[str, Any] = {}
        if not self.given.is_named:
            kept["up_to_id"] = values.get("up_to_id")
        if self.given.created_before is not None and values.get("created_before"):
            kept["created_before"] = min(values["created_before"], self.given.created_before)
        return replace(self, given=self.given.narrowed(**kept))

    @property
    def is_of_sent(self) -> bool:
        return self.verb is JobVerb.REPLAY and self.given.statuses == (EventStatus.SENT,)


def wanted(request: HttpRequest, verb: str, *, using: str) -> Wanted:
    """Raises `Http404` for what no list of events has, and for tenants that do not exist for the request's user."""
    try:
        given = asked(request, using=using)
    except InvalidFilter as error:
        raise Http404(str(error)) from error
    if verb not in JobVerb.values:
        raise Http404
    if given.tenant_id is not None and not scope.may_see(request, given.tenant_id):
        raise Http404
    return Wanted(verb=JobVerb(verb), given=given, tenants=scope.tenants_of(request))


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """What is there of what is asked for."""

    words: str
    found: Found | None
    """None: it could not be counted."""
    up_to_id: int | None
    created_before: datetime | None = None
    problem: str = ""
    """Why it cannot be done at all."""

    @property
    def hidden(self) -> dict[str, Any]:
        """What the form keeps of it."""
        counted = "" if self.found is None else f"{self.found.events}{'+' if self.found.more else ''}"
        before = "" if self.created_before is None else self.created_before.isoformat()
        return {"up_to_id": self.up_to_id, "created_before": before, "counted": counted}


def look(asked: Wanted, *, duplicate_sent: bool, using: str) -> Matching:
    """Counts for about a second; never raises for what makes no sense, but says so."""
    given = asked.filter(duplicate_sent=duplicate_sent)
    try:
        change, shown = plan(asked.verb, given, duplicate_sent=duplicate_sent)
    except (InvalidFilter, InvalidJob) as error:
        return Matching(words=told(given), found=None, up_to_id=None, problem=str(error))
    shown = settled(change, shown, using=using)
    limited = None if asked.tenants is None or shown.tenant_id is not None else len(asked.tenants)
    found = preview(asked.verb, shown, tenants=asked.tenants, duplicate_sent=duplicate_sent, using=using)
    return Matching(
        words=told(shown, tenants=limited),
        found=found,
        up_to_id=shown.up_to_id,
        created_before=shown.created_before,
    )
