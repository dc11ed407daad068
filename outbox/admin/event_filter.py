"""What may be asked of the list of events, and what to say to what cannot be asked."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from circuits.console.back import PARAMETER
from outbox.models import EventStatus
from outbox.models.names import KEY_MAX_LENGTH, TENANT_PATTERN, TOPIC_PATTERN
from outbox.operations import listing
from outbox.operations.filters import Filter

AGES = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
_ANY = ("", "any")
_AGES = (
    _ANY,
    ("1m", "more than 1 minute"),
    ("1h", "more than 1 hour"),
    ("1d", "more than 1 day"),
    ("7d", "more than 7 days"),
)
_LAST_ID = 2**63 - 1

PLACES = ("after", "before")
"""Where the list goes on, and comes from."""
QUICK = "q"
"""An id, a tenant, or a tenant and a dedupe key, in one text."""
# Of Django's admin: they ask for nothing of the events.
_NEUTRAL = {"e", "p", "o", "all", "_popup", "_to_field", "_facets", "_changelist_filters", PARAMETER}


class EventFilterForm(forms.Form):
    """One field each; what is empty is not asked for."""

    status__exact = forms.ChoiceField(required=False, label="Status", choices=[_ANY, *EventStatus.choices])
    tenant = forms.CharField(required=False, max_length=64, label="Tenant")
    topic = forms.CharField(required=False, max_length=249, label="Topic")
    error_class = forms.CharField(required=False, max_length=64, label="Error class")  # type: ignore[assignment]  # a form's own attribute
    older_than = forms.ChoiceField(required=False, label="Age", choices=_AGES)
    id = forms.CharField(required=False, max_length=25, label="Id")
    dedupe_key = forms.CharField(required=False, max_length=KEY_MAX_LENGTH, label="Dedupe key", strip=False)
    partition_key = forms.CharField(required=False, max_length=KEY_MAX_LENGTH, label="Partition key", strip=False)

    def __init__(self, query: QueryDict) -> None:
        self.given = _spelled_out(query)
        super().__init__(self.given, auto_id="filter_%s")
        self._unknown = sorted(set(query) - set(self.fields) - _NEUTRAL - {*PLACES, QUICK})
        for field in self.fields.values():
            if isinstance(field.widget, forms.TextInput):
                field.widget.attrs.update({"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"})
        self.fields["id"].widget.attrs["inputmode"] = "numeric"

    @property
    def is_asking(self) -> bool:
        """Whether the list is not that of all events."""
        return any(self.given.get(name) for name in self.fields)

    def asked(self, *, tenants: frozenset[str] | None, using: str) -> Filter:
        """Of a form that is valid, for whoever may see the events of `tenants`; None: of all."""
        values = self.cleaned_data
        age, event_id = values["older_than"], values["id"]
        return Filter(
            tenant_id=values["tenant"] or None,
            tenants=None if tenants is None else tuple(sorted(tenants)),
            topic=values["topic"] or None,
            statuses=(EventStatus(values["status__exact"]),) if values["status__exact"] else (),
            error_class=values["error_class"] or None,
            created_before=listing.created_before(age=AGES[age], using=using) if age else None,
            ids=(int(event_id),) if event_id else (),
            dedupe_key=values["dedupe_key"] or None,
            partition_key=values["partition_key"] or None,
        )

    def clean_tenant(self) -> str:
        tenant: str = self.cleaned_data["tenant"]
        if tenant and not re.fullmatch(TENANT_PATTERN, tenant):
            raise ValidationError("A tenant's whole name: A-Z a-z 0-9 . _ - with a letter or digit first.")
        return tenant

    def clean_topic(self) -> str:
        topic: str = self.cleaned_data["topic"]
        if topic and not re.fullmatch(TOPIC_PATTERN, topic):
            raise ValidationError("A topic's whole name: 1 to 249 of A-Z a-z 0-9 . _ -")
        return topic

    def clean_id(self) -> str:
        number: str = self.cleaned_data["id"].replace(",", "")
        if number and not (number.isascii() and number.isdecimal() and 0 < int(number) <= _LAST_ID):
            raise ValidationError("An event's id is a positive whole number.")
        return number

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        for name in self._unknown:
            self.add_error(None, f"There is no filter {name[:40]!r}.")
        for name in ("dedupe_key", "partition_key"):
            if values.get(name) and not values.get("tenant") and "tenant" not in self.errors:
                self.add_error("tenant", f"A {name.replace('_', ' ')} is one of a tenant: name the tenant as well.")
        if values.get("id") and values.get("dedupe_key"):
            self.add_error("dedupe_key", "An id names the event already: ask for one of both.")
        return values


def _spelled_out(query: QueryDict) -> QueryDict:
    """With what stands in the one text put where it belongs."""
    words = query.get(QUICK, "").split(maxsplit=1)
    if not words:
        return query
    spelled = query.copy()
    if len(words) == 1 and words[0].isdecimal():
        spelled["id"] = words[0]
    else:
        spelled["tenant"] = words[0]
    if len(words) > 1:
        spelled["dedupe_key"] = words[1].rstrip()
    return spelled
