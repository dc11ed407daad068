"""What tests fetch once per checkout: it takes longer than a test may, and whoever runs beside it would wait too."""

from __future__ import annotations

from contextlib import suppress

from somabrain.embedded import kafka
from somabrain.embedded.errors import EmbeddedServerError
from tests.support import axe, postgres15


def fetch() -> None:
    """What is there already costs nothing. What cannot be fetched is told by the tests that need it."""
    for fetch in (kafka.prepared, postgres15.binaries, axe.script):
        with suppress(EmbeddedServerError):
            fetch()
