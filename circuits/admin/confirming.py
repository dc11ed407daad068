"""Forms that are saved in two steps: a page says what would change, and nothing else than that is done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from circuits.console.back import way_back
from circuits.console.columns import AnyModelAdmin
from circuits.console.times import number

CONFIRMED = "edits_confirmed"
_ASKED_AGAIN = {"csrfmiddlewaretoken", "reason", CONFIRMED}
_TEMPLATE = "admin/circuits/changes.html"


class ConfirmedForms(AnyModelAdmin):
    """The pages to add and to change a row. Their form has a `reason`; where it came from says `back`."""

    effect: ClassVar[str]
    """What becomes of a change that is saved."""
    of_nothing: ClassVar[dict[str, str]] = {}
    """How a field that is empty is called."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        form = self._edited(request, object_id) if request.method == "POST" else None
        if form is not None:
            changes = list(self._changes(form, is_new=object_id is None))
            if not changes:
                self.message_user(request, "Nothing was changed: all of it is so already.", messages.WARNING)
                return HttpResponseRedirect(request.get_full_path())
            if request.POST.get(CONFIRMED) != _mark(changes):
                return self._ask_about_changes(request, form, changes, is_new=object_id is None)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return _back(request, super().response_post_save_add(request, obj))

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return _back(request, super().response_post_save_change(request, obj))

    def _edited(self, request: HttpRequest, object_id: str | None) -> Any:
        """The form as it would be saved; None: something in it is wrong, or whoever sends it may not."""
        row = None if object_id is None else self.get_object(request, unquote(object_id))
        may = self.has_add_permission(request) if row is None else self.has_change_permission(request, row)
        if not may:
            return None
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        return form if form.is_valid() else None

    def _changes(self, form: Any, *, is_new: bool) -> Iterator[str]:
        for name in form.fields if is_new else form.changed_data:
            before, after = form.initial.get(name), form.cleaned_data[name]
            if name == "reason" or (is_new and after in (None, "")):
                continue
            label, *values = name.replace("_", " "), *(self._say(name, each) for each in (before, after))
            yield f"{label} {values[1]}" if is_new else f"{label} {values[0]} \N{RIGHTWARDS ARROW} {values[1]}"

    def _say(self, name: str, value: Any) -> str:
        if value in (None, ""):
            return self.of_nothing.get(name, "default")
        return number(value) if isinstance(value, int | float) else str(value)

    def _ask_about_changes(self, request: HttpRequest, form: Any, changes: list[str], *, is_new: bool) -> HttpResponse:
        why = type("WhyForm", (forms.Form,), {"reason": form.fields["reason"]})
        context = {
            **self.admin_site.each_context(request),
            "title": f"{'Add' if is_new else 'Change'} {self.opts.verbose_name}",
            "opts": self.opts,
            "media": self.media,
            "effect": self.effect,
            "is_other": CONFIRMED in request.POST,
            "rows": [(form.instance, changes)],
            "form": why(initial={"reason": form.cleaned_data["reason"]}),
            "repeated": [*repeated(request), (CONFIRMED, _mark(changes))],
            "submit": "Add" if is_new else "Change",
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, _TEMPLATE, context)


def repeated(request: HttpRequest) -> list[tuple[str, str]]:
    """What was sent, for a page that asks about it to send again."""
    return [(name, str(value)) for name, values in request.POST.lists() if name not in _ASKED_AGAIN for value in values]


def _mark(changes: list[str]) -> str:
    """Another one if somebody has changed the row since it was asked: then it is asked again."""
    return hashlib.sha256("\n".join(changes).encode()).hexdigest()[:16]


def _back(request: HttpRequest, otherwise: HttpResponse) -> HttpResponseRedirect:
    return HttpResponseRedirect(way_back(request, otherwise=otherwise.headers["Location"]))
