"""Circuits in the Django admin."""

from circuits.admin import circuit, scope, transition  # noqa: F401  register the pages
