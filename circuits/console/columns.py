"""Columns of stock lists, and lines of stock pages, that say times and numbers as the other pages do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest, HttpResponse

from circuits.console.times import moment, number

# Generic for the type checker alone.
if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin


class ToldColumns(AnyModelAdmin):
    """A model's fields, by name, with their times in the viewer's zone and separators in their numbers."""

    not_counted: ClassVar[Collection[str]] = ()
    """Numbers that are names, and stay as they are."""

    def get_list_display(self, request: HttpRequest) -> Any:
        edited = self.list_editable if self.has_change_permission(request) else ()
        return [each if each in edited else self._told(each) for each in super().get_list_display(request)]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        return self._all_told(super().get_list_display_links(request, list_display))

    def get_sortable_by(self, request: HttpRequest) -> Any:
        return self._all_told(super().get_sortable_by(request))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """What can be edited is left as it is."""
        page = context["adminform"]
        told = {each: self._told(each) for each in page.readonly_fields}
        page.readonly_fields = list(told.values())
        page.fieldsets = [
            (title, {**options, "fields": [told.get(each, each) for each in options["fields"]]})
            for title, options in page.fieldsets
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def _all_told(self, names: Iterable[Any] | None) -> Any:
        return names and [self._told(each) for each in names]

    def _told(self, name: Any) -> Any:
        if not isinstance(name, str) or hasattr(self, name) or name in self.not_counted:
            return name
        return _column(self.opts.label, name) or name


@functools.cache
def _column(label: str, name: str) -> Callable[[Any], str] | None:
    """Always the same one: the admin compares them."""
    try:
        field: Any = apps.get_model(label)._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    say = _say(field)
    if say is None:
        return None

    @admin.display(description=field.verbose_name, ordering=name)
    def column(row: Any) -> str:
        return say(getattr(row, name))

    column.__name__ = name
    return column


def _say(field: Any) -> Callable[[Any], str] | None:
    if isinstance(field, models.DateTimeField):
        return moment
    if isinstance(field, (models.IntegerField, models.FloatField)) and not field.primary_key:
        return number
    return None
