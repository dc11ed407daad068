"""Circuits in the Django admin."""

from circuits.admin import circuit, transition  # noqa: F401  register the pages
