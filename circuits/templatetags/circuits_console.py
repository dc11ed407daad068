"""States as every page writes them."""

from __future__ import annotations

from django import template

from circuits.console.badges import badge

register = template.Library()
register.simple_tag(badge, name="badge")
