"""Writer processes: an application that changes a row under its lock and enqueues what it did in the same transaction.

The row counts its changes, and the count travels in the event's payload: it is the order in which the application
serialised its transactions, so the order in which the events of a key must be delivered first.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from somabrain.embedded.leash import Leashed
from tests.support.processes import clean_environment

TABLE = """
CREATE TABLE IF NOT EXISTS proof_rows (
    tenant_id text, partition_key text, sequence bigint NOT NULL, PRIMARY KEY (tenant_id, partition_key)
) WITH (fillfactor = 50)
"""
_STAMP = """
INSERT INTO proof_rows VALUES (%s, %s, 1)
ON CONFLICT (tenant_id, partition_key) DO UPDATE SET sequence = proof_rows.sequence + 1
RETURNING sequence
"""
_HANG_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What each writer does."""

    topic: str
    tenants: Mapping[str, float] = field(default_factory=lambda: {"acme": 1.0})
    """Tenant -> its part of the transactions."""
    keys: int = 20
    """Rows, hence partition keys, of each tenant."""
    events: int = 1
    """Events of each transaction, each of another key."""
    transactions: int | None = None
    """How many, None: until it is stopped."""
    rate: float | None = None
    """Transactions per second, None: as many as it can."""
    rolled_back: float = 0.0
    """Which part of the transactions ends in a rollback."""
    outages: bool = False
    """Whether the database may go away: how a transaction ended then, the journal does not say."""
    open_seconds: float = 0.0
    """How long at most a transaction goes on after its last event; drawn evenly."""


class Writers:
    """Running writers. Each keeps a journal: which events it committed, which it rolled back."""

    def __init__(self, load: Load, *, processes: int, environment: Mapping[str, str], directory: Path) -> None:
        self.journals = [directory / f"writer-{number}.journal" for number in range(processes)]
        self._processes = [
            Leashed(
                [sys.executable, "-m", "tests.proofs.writers", json.dumps(asdict(load)), journal],
                log=journal.with_suffix(".log"),
                environment={
                    **clean_environment(),
                    **environment,
                    "DJANGO_SETTINGS_MODULE": "somabrain.settings",
                    "PROOFS_SEED": str(number),
                },
            )
            for number, journal in enumerate(self.journals)
        ]

    def wait(self) -> None:
        """Until each has done its number of transactions. Raises what a writer says when it fails."""
        for process in self._processes:
            code = process.wait(timeout=_HANG_SECONDS)
            assert code == 0, process.log.read_text()

    def stop(self) -> None:
        """Lets each end its transaction, then ends them."""
        for process in self._processes:
            process.send(signal.SIGTERM)
        self.wait()

    def wait_until_writing(self) -> None:
        """Until each has ended a transaction."""
        deadline = time.monotonic() + _HANG_SECONDS
        while not all(journal.exists() and journal.stat().st_size for journal in self.journals):
            for process in self._processes:
                assert process.returncode in (None, 0), process.log.read_text()
            assert time.monotonic() < deadline, "the writers did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        for process in self._processes:
            process.kill()


class _Writer:
    def __init__(self, load: Load, *, journal: TextIO, seed: int) -> None:
        self._load = load
        self._journal = journal
        self._random = random.Random(seed)  # noqa: S311  a load, not a secret
        self._tenants = list(load.tenants)
        self._weights = list(load.tenants.values())
        self._stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def run(self) -> None:
        from django.db import InterfaceError, OperationalError, connection

        for _ in self._turns():
            try:
                self._transact()
            except (InterfaceError, OperationalError):
                if not self._load.outages:
                    raise
                connection.close()
                time.sleep(0.05)

    def _turns(self) -> Iterator[None]:
        done, due = 0, time.monotonic()
        while not self._stopped and (self._load.transactions is None or done < self._load.transactions):
            if self._load.rate is not None:
                due = max(due + 1 / self._load.rate, time.monotonic() - 1)
                time.sleep(max(0.0, due - time.monotonic()))
            yield
            done += 1

    def _transact(self) -> None:
        from django.db import transaction

        committed = self._random.random() >= self._load.rolled_back
        with transaction.atomic():
            ids = self._change_rows()
            time.sleep(self._random.random() * self._load.open_seconds)
            transaction.set_rollback(not committed)
        self._journal.write(json.dumps([committed, ids]) + "\n")

    def _change_rows(self) -> list[int]:
        from outbox.api import enqueue

        tenant = self._random.choices(self._tenants, self._weights)[0]
        # In one order everywhere, or writers would deadlock.
        numbers = sorted(self._random.sample(range(self._load.keys), k=self._load.events))
        events = [(f"row-{number:04}", self._stamp(tenant, f"row-{number:04}")) for number in numbers]
        return [
            enqueue(
                topic=self._load.topic, payload={"sequence": sequence}, tenant_id=tenant, partition_key=key
            ).event_id
            for key, sequence in events
        ]

    @staticmethod
    def _stamp(tenant: str, key: str) -> int:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(_STAMP, [tenant, key])
            (sequence,) = cursor.fetchone()
        return int(sequence)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True


def main() -> None:
    import os

    import django

    django.setup()
    given: dict[str, Any] = json.loads(sys.argv[1])
    with Path(sys.argv[2]).open("w", buffering=1) as journal:
        _Writer(Load(**given), journal=journal, seed=int(os.environ["PROOFS_SEED"])).run()


if __name__ == "__main__":
    main()
