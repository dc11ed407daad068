"""Watchers of the test's own, and what stands around one."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from outbox.relay.watch import Found, Watcher
from tests.outbox.relay.tenures import SOMEBODY_ELSE

if TYPE_CHECKING:
    from tests.outbox.relay.conftest import Tables

MakeWatcher = Callable[..., Watcher]


def found(watcher: Watcher) -> list[str]:
    names: list[str] = []
    for news in watcher.news():
        assert isinstance(news, Found)
        names += news.tenants
    return sorted(names)


def register(tables: Tables, relay_id: uuid.UUID = SOMEBODY_ELSE, heartbeat: str = "now") -> None:
    tables.execute(
        "INSERT INTO outbox_relays (id, host, pid, version, heartbeat_at) VALUES (%(id)s, 'h', 1, '1', %(at)s)",
        id=relay_id,
        at=heartbeat,
    )
