"""A relay that dies at one step of its work: `python -m tests.proofs.faults STEP before|after`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

STEPS = ("claim", "fetch", "produce", "settle", "release")
MOMENTS = ("before", "after")
_CALLS_SURVIVED = 1
"""So that something of every kind has happened before."""


def dying(function: Callable[..., Any], *, moment: str, counts: Callable[..., bool]) -> Callable[..., Any]:
    """The same function; the second call that counts is the last one."""
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        mine = counts(*arguments)
        calls += mine
        last = mine and calls > _CALLS_SURVIVED
        if last and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def arm(step: str, moment: str) -> None:
    from outbox.relay import loop
    from outbox.relay.publish import Publisher
    from outbox.relay.settle import Settle
    from outbox.relay.tenure import Tenure

    always = lambda *_: True  # noqa: E731
    owner, name, counts = {
        "claim": (Tenure, "claim", always),
        "fetch": (loop, "fetch", always),
        "produce": (Publisher, "publish", lambda _, __, rows, *___: bool(rows)),
        "settle": (Settle, "run", lambda job, *_: bool(job.acknowledged)),
        "release": (Settle, "run", lambda job, *_: bool(job.released)),
    }[step]
    setattr(owner, name, dying(getattr(owner, name), moment=moment, counts=counts))


def main() -> None:
    import django

    django.setup()
    from outbox.relay.loop import Relay

    arm(sys.argv[1], sys.argv[2])
    Relay().run()


if __name__ == "__main__":
    main()
