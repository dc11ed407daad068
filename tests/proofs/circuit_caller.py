"""A process that calls through one circuit: `python -m tests.proofs.circuit_caller acme memory fail stop-file`.

Before each call that is made it writes `sent <epoch> <probe> <Unix time>`. It ends once the file exists.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.proofs import wrong_clock

HANG_SECONDS = 3_600.0
_MOST_PAUSE_SECONDS = 0.005
_REST_SECONDS = 0.001


def main(tenant_id: str, name: str, how: str, stop: str, *rest: str) -> None:
    """`how` the calls end: fail, succeed, ignore, hang, or late, which is once there is a file of that ending; `rest`:
    seconds by which this host's clock is wrong."""
    wrong_by = float((*rest, "0")[0])
    now = time.time
    wrong_clock.install(wrong_by=wrong_by)
    import django

    django.setup()
    wrong_clock.check(wrong_by=wrong_by)
    from circuits.api import Call, Circuit, CircuitOpen

    endings: dict[str, Callable[[Call], None]] = {
        "fail": lambda call: call.fail("down"),
        "succeed": lambda call: None,
        "ignore": lambda call: call.ignore(),
        "hang": lambda call: time.sleep(HANG_SECONDS),
        "late": lambda call: _wait_for(Path(f"{stop}.late")),
    }
    circuit = Circuit(tenant_id=tenant_id, name=name)
    _say("ready")
    while not Path(stop).exists():
        try:
            with circuit.call() as call:
                _say(f"sent {call._epoch} {int(call._probe)} {now()!r}")
                endings[how](call)
            _say("told")
            time.sleep(_REST_SECONDS)
        except CircuitOpen as refused:
            time.sleep(min(refused.retry_after, _MOST_PAUSE_SECONDS))


def _wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(_REST_SECONDS)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
