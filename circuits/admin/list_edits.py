"""Thresholds that are edited in the list: a page that says what would change, and asks why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from circuits.admin.confirming import CONFIRMED, repeated
from circuits.admin.forms import DecisionForm
from circuits.console.columns import AnyModelAdmin

EFFECT = "Circuits go by these thresholds within a second:"


class ListEditPages(AnyModelAdmin):
    """The list saves nothing before somebody has looked at it and said why."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST" and "_save" in request.POST and self.has_change_permission(request):
            form = DecisionForm(request.POST if CONFIRMED in request.POST else None)
            edited = None if form.is_valid() else self._edited_rows(request)
            if edited is not None:
                return self._ask_about_edits(request, edited, form)
        return super().changelist_view(request, extra_context)

    def _edited_rows(self, request: HttpRequest) -> Any:
        """The rows of the list that would be saved; None: none of them, or something in them is wrong."""
        formset_class = self.get_changelist_formset(request)
        rows = self._get_list_editable_queryset(request, formset_class.get_default_prefix())
        formset = formset_class(request.POST, queryset=rows)
        return formset if formset.is_valid() and formset.has_changed() else None

    def _ask_about_edits(self, request: HttpRequest, edited: Any, form: DecisionForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Change thresholds",
            "opts": self.opts,
            "media": self.media,
            "effect": EFFECT,
            "rows": [(row.instance, list(_changes(row))) for row in edited.forms if row.has_changed()],
            "form": form,
            "repeated": [*repeated(request), (CONFIRMED, "yes")],
            "submit": "Change thresholds",
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/circuits/changes.html", context)


def _changes(row: Any) -> Iterator[str]:
    """None is the default."""
    for name in row.changed_data:
        before, after = (
            "default" if each is None else str(each) for each in (row.initial.get(name), row.cleaned_data[name])
        )
        yield f"{name.replace('_', ' ')} {before} \N{RIGHTWARDS ARROW} {after}"
