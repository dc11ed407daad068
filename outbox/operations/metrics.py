"""What commands and tasks count, each process for itself."""

from __future__ import annotations

from prometheus_client import Counter

PRUNED = Counter("outbox_pruned", "Events deleted after their retention.", ["status"])
CHANGED_BY_JOBS = Counter("outbox_job_events", "Events that jobs of operators have changed.", ["verb"])
