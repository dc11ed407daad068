"""What the pages share: nothing can be changed, and no page reads a whole table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property

# Generic for the type checker alone.
if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
    AnyPaginator = Paginator[Any]
else:
    AnyModelAdmin = admin.ModelAdmin
    AnyPaginator = Paginator

MOST_LISTED = 1_000
"""A list ends here. Further back leads a filter or the search, not the next page."""


class BoundedPaginator(AnyPaginator):
    """Looks at `MOST_LISTED` rows instead of counting them all, which takes seconds for millions."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return len(rows.values_list("pk")[:MOST_LISTED])


class BoundedAdmin(AnyModelAdmin):
    """A list that costs the same however long the table is."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER


class ReadOnlyAdmin(BoundedAdmin):
    """To be looked at by whoever may view the model, and changed by nobody."""

    actions: Any = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
