"""Rules for names that the database, the API and Kafka share."""

# PostgreSQL checks a row's constraints at every UPDATE. A counted repetition such as {1,249} costs it 8 us an event,
# `+` nothing that can be measured: the columns' own lengths do the counting.
TENANT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
TENANT_MAX_LENGTH = 64
TOPIC_PATTERN = r"^[A-Za-z0-9._-]+$"
TOPIC_MAX_LENGTH = 249
KEY_MAX_LENGTH = 255

DEFAULT_TENANT = "default"
EVERY_TENANT = "*"
"""Stands for all tenants where a policy or a pause concerns everyone; no tenant can be named so."""
