"""Who does something by a command."""

from __future__ import annotations

from circuits.terminal.people import account
from outbox.models import ActionSource
from outbox.operations.audit import Operator


def operator() -> Operator:
    """The account that runs this command, and its host."""
    return Operator(name=account(), source=ActionSource.COMMAND)
