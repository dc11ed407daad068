"""Thresholds that are edited in the list: a page that says what would change, and asks why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from circuits.admin.forms import DecisionForm
from circuits.console.columns import AnyModelAdmin

_CONFIRMED = "edits_confirmed"
_ASKED_AGAIN = {"csrfmiddlewaretoken", "reason", _CONFIRMED}


class ListEditPages(AnyModelAdmin):
    """The list saves nothing before somebody has looked at it and said why."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST" and "_save" in request.POST and self.has_change_permission(request):
            form = DecisionForm(request.POST if _CONFIRMED in request.POST else None)
            edited = None if form.is_valid() else self._edited(request)
            if edited is not None:
                return self._ask_about_edits(request, edited, form)
        return super().changelist_view(request, extra_context)

    def _edited(self, request: HttpRequest) -> Any:
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
            "rows": [(row.instance, list(_changes(row))) for row in edited.forms if row.has_changed()],
            "form": form,
            "repeated": [(name, value) for name, value in request.POST.items() if name not in _ASKED_AGAIN],
            "confirmed": _CONFIRMED,
            "submit": "Change thresholds",
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/circuits/tenantcircuit/edited.html", context)


def _changes(row: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, before and after; None is the default."""
    for name in row.changed_data:
        yield name.replace("_", " "), row.initial.get(name), row.cleaned_data[name]
