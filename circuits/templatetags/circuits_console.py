"""States, times and numbers as every page writes them."""

from __future__ import annotations

from django import template

from circuits.console.badges import badge
from circuits.console.times import moment, number

register = template.Library()
register.simple_tag(badge, name="badge")
register.filter("moment", moment)
register.filter("number", number)
