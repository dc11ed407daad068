"""What circuits count, each process for itself; a scrape adds them up. The states stand in `circuits.collector`."""

from __future__ import annotations

from prometheus_client import Counter

TRANSITIONS = Counter("circuits_transitions", "Changes of circuits, by the state they came to.", ["name", "to"])
REFUSED = Counter("circuits_refused", "Calls that an open circuit refused.", ["name"])
OUTCOMES_LOST = Counter(
    "circuits_outcomes_lost", "Outcomes of calls that could not be recorded, so that they moved no circuit.", ["name"]
)
