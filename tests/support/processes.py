"""Real processes of the service, for tests that stop, crash and race them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from somabrain.embedded.leash import Leashed
from somabrain.embedded.paths import CHECKOUT

_OUR_SETTINGS = (
    "OUTBOX_",
    "CIRCUITS_",
    "MEMORY_",
    "KAFKA_",
    "DATABASE_URL",
    "DEBUG",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "DJANGO_",
    "LOG_LEVEL",
    "METRICS_TOKEN",
    "QCLUSTER_",
    "SECURE_",
    "TRUST_",
    "WEB_",
)


class ManageProcess(Leashed):
    """`manage.py` with one command, in a session of its own, its output captured."""

    def __init__(self, *arguments: str, log: Path, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "manage.py", *arguments]
        super().__init__(command, log=log, environment={**clean_environment(), **environment})
        self.arguments = arguments

    def output(self) -> str:
        """What it has written so far, errors too."""
        return self.log.read_text(errors="replace")

    def wait_for_output(self, text: str, *, timeout: float = 60) -> str:
        """Return the output once the text is in it. The time limit (seconds) is a guard against hanging."""
        deadline = time.monotonic() + timeout
        while text not in (output := self.output()):
            if self.returncode is not None and text not in self.output():
                raise AssertionError(f"{self.arguments} ended with {self.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.arguments} did not say {text!r} in time:\n{output}")
            time.sleep(0.02)
        return output


def clean_environment() -> dict[str, str]:
    """This process's environment without any of the service's settings, which a test names itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OUR_SETTINGS)}
    return {**kept, "PYTHONPATH": str(CHECKOUT)}
