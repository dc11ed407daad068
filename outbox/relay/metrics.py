"""What relays count, each process for itself; a scrape adds them up. Backlogs per tenant stand in outbox.metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED = Counter("outbox_published", "Events that the broker acknowledged and the database recorded.")
FAILED_ATTEMPTS = Counter("outbox_failed_attempts", "Attempts to publish that failed.", ["error_class"])
DEAD_LETTERS = Counter("outbox_dead_letters", "Events given up.", ["error_class"])
LANES_LOST = Counter("outbox_lanes_lost", "Lanes taken over by another relay while this one still held them.")
SERIES_FLUSH_FAILURES = Counter(
    "outbox_series_flush_failures", "Times that a relay could not write down what it did, for the console's charts."
)
RELAY_RESTARTS = Counter("outbox_relay_restarts", "Relays that ended with an error and were replaced.")
ROUND_SECONDS = Histogram(
    "outbox_round_seconds",
    "Time from the fetch of a round to the hand-over of its reports.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5),
)
SETTLE_SECONDS = Histogram(
    "outbox_settle_seconds",
    "Time a settle's transaction took.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5),
)
LANES_HELD = Gauge("outbox_lanes_held", "Lanes that relays hold.", multiprocess_mode="livesum")
# Not "up": every process that imports this begins with 0, also one that runs no relay.
BROKER_DOWN = Gauge("outbox_broker_down", "1 while the broker does not answer some relay.", multiprocess_mode="livemax")


def no_relay() -> None:
    """To be called when this process runs no relay any more: a gauge may outlive its process."""
    LANES_HELD.set(0)
    BROKER_DOWN.set(0)
