"""What commands and tasks count, each process for itself."""

from __future__ import annotations

from prometheus_client import Counter

PRUNED = Counter("outbox_pruned", "Events deleted after their retention.", ["status"])
