"""Lists that cost the same however long the table is, and show a user's own tenants alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin import helpers
from django.core.paginator import Paginator
from django.db import router
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest
from django.urls import URLPattern
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from circuits.console import limits, scope
from circuits.console.columns import ToldColumns

# Generic for the type checker alone.
if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

MOST_LISTED = 1_000
"""A list ends here, and says so. Further back leads a filter or the search, not the next page."""


class BoundedPaginator(AnyPaginator):
    """Looks at `MOST_LISTED` rows instead of counting them all, which takes seconds for millions."""

    @cached_property
    def found(self) -> int:
        rows: Any = self.object_list
        return len(rows.values_list("pk")[: MOST_LISTED + 1])

    @cached_property
    def count(self) -> int:
        return min(self.found, MOST_LISTED)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than the list has."""
        return self.found > MOST_LISTED


class BoundedAdmin(ToldColumns):
    """What other tenants have does not exist for staff who are limited to some."""

    class Media:
        css: ClassVar[Any] = {"all": ("circuits/console.css",)}
        js = (Script("circuits/times.js", defer=True),)

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    tenant_field: ClassVar[str | None] = "tenant_id"
    """The column that says whose a row is; None: rows of nobody, hidden from staff limited to some tenants."""
    narrower: ClassVar[str] = limits.NARROWER
    """What to do about a page that took too long."""

    @property
    def urls(self) -> list[URLPattern]:
        """Every view of this model, those that subclasses add as well, ends in time."""
        return [self._limited(pattern) for pattern in self.get_urls()]

    def _limited(self, pattern: URLPattern) -> URLPattern:
        view = limits.limited(
            pattern.callback,
            site=self.admin_site,
            using=lambda: router.db_for_read(self.model),
            narrower=self.narrower,
        )
        return URLPattern(pattern.pattern, view, pattern.default_args, pattern.name)

    def action_checkbox(self, obj: Any) -> SafeString:
        """As Django has it, without a template for each row: those took a third of a page's time."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">',
            helpers.ACTION_CHECKBOX_NAME,
            obj.pk,
            gettext("Select this object for an action - {}").format(obj),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.own(super().get_queryset(request), request)

    def own(self, rows: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Those of the rows that exist for the request's user."""
        return scope.limited(rows, request, field=self.tenant_field)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Raises `Http404`, in the same words for a row that does not exist and for one of another tenant."""
        found = super().get_object(request, object_id, from_field)
        if found is None:
            raise Http404(f"No {self.opts.verbose_name} is known by this name.")
        return found

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A row of another tenant cannot be made or handed over either."""
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (_OfOwnTenants, form), {"staff_tenants": scope.tenants_of(request)})

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        """A row of another tenant cannot be edited in the list, in the same words as one that does not exist."""
        formset: Any = super().get_changelist_formset(request, **kwargs)
        return type(formset.__name__, (_OfOwnRows, formset), {})


class _OfOwnRows:
    """Django looks among all rows for those that a list's form names."""

    def add_fields(self: Any, form: Any, index: int | None) -> None:
        super().add_fields(form, index)  # type: ignore[misc]  # a mixin
        if self.is_bound:
            form.fields[self._pk_field.name].queryset = self.get_queryset()


class _OfOwnTenants:
    """Refuses tenants that do not exist for the user, before it is asked whether there is such a row."""

    staff_tenants: frozenset[str] | None = None

    def clean(self: Any) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data  # type: ignore[misc]  # a mixin
        tenant_id = values.get("tenant_id")
        if tenant_id is not None and self.staff_tenants is not None and tenant_id not in self.staff_tenants:
            self.add_error("tenant_id", "Not one of the tenants that you work for.")
        return values


class ReadOnlyAdmin(BoundedAdmin):
    """To be looked at by whoever may view the model, and changed by nobody."""

    actions: Any = None

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Those as well that no form could have, such as the time of a row."""
        return self.fields or [field.name for field in self.opts.concrete_fields]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
