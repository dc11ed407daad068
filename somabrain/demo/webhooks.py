"""Webhooks as GitHub sends them; where they come from stands beside the file."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "data" / "github_webhooks.jsonl.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One call that a tenant's repository made."""

    tenant_id: str
    topic: str
    partition_key: str
    dedupe_key: str
    payload: Any


@cache
def recorded() -> tuple[Webhook, ...]:
    """All webhooks, in the order in which they are to be received."""
    with gzip.open(_FILE, "rt", encoding="utf-8") as lines:
        return tuple(Webhook(**json.loads(line)) for line in lines)


def topics() -> list[str]:
    """Every topic that a webhook is published to."""
    return sorted({webhook.topic for webhook in recorded()})
