"""A relay that writes down what it sends of one tenant: `python -m tests.proofs.probing TENANT FILE [dies]`.

With `dies` it is killed as soon as its first probe is under way.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def arm(tenant: str, file: Path, *, dies: bool) -> None:
    from outbox.relay.lanes import Lane
    from outbox.relay.publish import Publisher

    produce = Publisher._produce

    def noted(publisher: Publisher, lane: Lane, *arguments: Any) -> tuple[int, int]:
        probing = not lane.circuit.closed
        failed, begin = len(lane.failures), time.time()
        consumed, sent = produce(publisher, lane, *arguments)
        tried = sent + len(lane.failures) - failed
        if lane.tenant == tenant and tried:
            with file.open("a") as out:
                out.write(f"{tried} {begin}\n")
            if dies and probing:
                os.kill(os.getpid(), signal.SIGKILL)
        return consumed, sent

    Publisher._produce = noted  # type: ignore[assignment, method-assign]


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    tenant, file, *more = sys.argv[1:]
    arm(tenant, Path(file), dies=bool(more))
    call_command("outbox", "relay")


if __name__ == "__main__":
    main()
