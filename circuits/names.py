"""Rules for the names that circuits go by."""

# The columns' own lengths do the counting.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
NAME_MAX_LENGTH = 64

EVERY_TENANT = "*"
"""Stands for all tenants where a dependency fails for everyone at once; no tenant can be named so."""
