"""A relay without fairness, to measure what fairness costs: `python -m tests.proofs.unfair`.

Whoever is ready first gets the whole round.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from outbox.relay import loop
    from outbox.relay.lanes import Lane
    from outbox.relay.plan import Plan

    def first_come(lanes: Iterable[Lane], *, budget: int, virtual_now: float, now: float, **_: Any) -> Plan:
        for lane in lanes:
            lane.apply_rewind()
            if lane.may_fetch(now):
                return Plan([lane], [budget], virtual_now)
        return Plan([], [], virtual_now)

    loop.plan = first_come  # type: ignore[attr-defined]
    call_command("outbox", "relay", until_empty=True)


if __name__ == "__main__":
    main()
