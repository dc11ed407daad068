"""The service's settings for the benches, from the addresses they were given."""

from __future__ import annotations

import os


def configure(*, database_url: str, kafka: str) -> None:
    """Set Django up, in this process and those it starts, on this database and broker."""
    os.environ.update(environment(database_url=database_url, kafka=kafka))
    import django

    django.setup()


def environment(*, database_url: str, kafka: str) -> dict[str, str]:
    """What a process of the service needs to work on this database and broker."""
    return {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "DJANGO_SETTINGS_MODULE": "somabrain.settings",
        "DEBUG": "true",
        "LOG_LEVEL": "WARNING",
    }
