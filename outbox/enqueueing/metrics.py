"""What processes that enqueue count, each for itself."""

from __future__ import annotations

from prometheus_client import Counter

REFUSED = Counter("outbox_refused", "Calls of enqueue that a tenant's backlog limit refused.")
