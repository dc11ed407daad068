"""The overview on the admin's index."""

from __future__ import annotations

import logging

from django import template
from django.db import DatabaseError
from django.http import HttpRequest
from django.template import Context
from django.template.loader import render_to_string
from django.urls import NoReverseMatch
from django.utils.safestring import SafeString

from circuits import conf as circuits_conf
from circuits.console import limits, scope
from outbox import conf
from outbox.admin import overview
from outbox.admin.rights import OVERVIEW

logger = logging.getLogger(__name__)
register = template.Library()

_NOTHING = SafeString("")


@register.simple_tag(takes_context=True)
def outbox_is_limited(context: Context) -> bool:
    """Whether the user sees some tenants alone. What they did before may name others."""
    request: HttpRequest | None = context.get("request")
    return request is not None and scope.tenants_of(request) is not None


@register.simple_tag(takes_context=True)
def outbox_overview(context: Context) -> SafeString:
    """Nothing for whoever may not see it, and where the outbox has no pages. An index that breaks helps nobody: what
    the database refuses is said in the place of the figures."""
    request: HttpRequest | None = context.get("request")
    if request is None or not request.user.has_perm(OVERVIEW):
        return _NOTHING
    try:
        with limits.limit(using=conf.get().database):
            found = overview.panel(request, brief=True)
    except NoReverseMatch:
        return _NOTHING
    except DatabaseError as error:
        logger.warning("The overview could not be read: %s", " ".join(str(error).split()))
        seconds = circuits_conf.get().console_timeout if limits.is_timeout(error) else None
        return render_to_string("admin/outbox/overview_missing.html", {"seconds": seconds}, request=request)
    return render_to_string("admin/outbox/overview_panel.html", found, request=request)
