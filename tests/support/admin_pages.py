"""Addresses of the admin, as its models' pages name them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import URLPattern

_GAP = re.compile(r"<(?:\w+:)?(\w+)>")


def addresses(rows: Mapping[type[Model], Model], *, given: Mapping[str, list[str]]) -> Iterator[str]:
    """Every page of every model of which there is a row, and the lists of all.

    `given`: what may stand in an address beside the row's own key, by the parameter's name.
    """
    for model, pages in admin.site._registry.items():
        for pattern in pages.urls:
            names = _GAP.findall(_route(pattern))
            keys = [given.get(name) or _key(rows.get(model)) for name in names]
            for values in product(*keys):
                filled = iter(values)
                path = _GAP.sub(lambda _, filled=filled: next(filled), _route(pattern))  # type: ignore[misc]
                yield f"/admin/{model._meta.app_label}/{model._meta.model_name}/{path}"


def _route(pattern: URLPattern) -> str:
    return str(pattern.pattern)


def _key(row: Model | None) -> list[str]:
    return [] if row is None else [quote(str(row.pk))]
