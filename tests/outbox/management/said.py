"""What a command said."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command

OK, WRONG, USAGE = 0, 1, 2


class Said:
    """What a command wrote, and how it ended."""

    def __init__(self, *words: str) -> None:
        out, err = StringIO(), StringIO()
        self.code, self.complaint = OK, ""
        try:
            call_command("outbox", *words, stdout=out, stderr=err)
        except CommandError as error:
            self.code, self.complaint = error.returncode, str(error)
        self.out, self.err = out.getvalue(), err.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]
