"""The loops that the relay is compared with: they drain what is pending as fast as Python can, no more.

`turn` is the floor: fetch, produce, flush and update, each waiting for the one before. `overlapped` is the
limit: while a thread settles one batch, the next is fetched past it and produced.
"""

from __future__ import annotations

import argparse
import queue
import threading
import time
import uuid

from bench import broker, load
from bench.steps import Backlog, Batch, Ledger, Outlet

_WARM_UP_SECONDS = 1.0


def in_turn(backlog: Backlog, outlet: Outlet, ledger: Ledger, *, size: int) -> int:
    """Drain one batch after the other, one step after the other; returns the number of events."""
    done = 0
    while (batch := backlog.fetch(size)) is not None:
        outlet.produce(batch)
        outlet.producer.flush()
        ledger.settle(batch)
        done += len(batch.rows)
    return done


def overlapped(backlog: Backlog, outlet: Outlet, ledger: Ledger, *, size: int) -> int:
    """Drain with the database and the broker at work at the same time; returns the number of events."""
    done = 0
    settler = _Settler(ledger)
    produced: Batch | None = None
    while (batch := backlog.fetch(size)) is not None:
        if produced is not None:
            settler.settle(_acknowledged(outlet, produced))
        outlet.produce(batch)
        produced = batch
        done += len(batch.rows)
    if produced is not None:
        settler.settle(_acknowledged(outlet, produced))
    settler.close()
    return done


class _Settler:
    """Settles one batch at a time in a thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: queue.Queue[Batch | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def settle(self, batch: Batch) -> None:
        self._waiting.put(batch)

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._waiting.get()) is not None:
            self._ledger.settle(batch)


def _acknowledged(outlet: Outlet, batch: Batch) -> Batch:
    while not batch.is_acknowledged():
        outlet.producer.poll(0.1)
    return batch


LOOPS = {"turn": in_turn, "overlapped": overlapped}


def drain(*, database_url: str, kafka: str, loop: str, size: int) -> int:
    """Run one loop until nothing is pending; returns the number of events."""
    outlet = Outlet(broker.producer(kafka))
    backlog, ledger = Backlog(database_url), Ledger(database_url)
    # An idempotent producer must first be given its id, which takes half a second.
    time.sleep(_WARM_UP_SECONDS)
    return LOOPS[loop](backlog, outlet, ledger, size=size)


def main() -> None:
    """Drain what is pending, or, with --tenants, seed a backlog and say how fast it was drained."""
    options = _parser().parse_args()
    database_url, kafka = options.database_url, options.kafka
    wanted = {"database_url": database_url, "kafka": kafka, "loop": options.loop, "size": options.batch}
    if options.tenants is None:
        drain(**wanted)
        return
    for _ in range(options.rounds):
        topic = f"bench-{uuid.uuid4().hex[:12]}"
        broker.create_topic(kafka, topic)
        load.empty(database_url)
        load.seed(database_url, load.Load(events=options.events, tenants=options.tenants), topic=topic)
        drain(**wanted)
        print(broker.drained(kafka, topic, database_url=database_url).line(), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("--database-url", required=True, help="its outbox is EMPTIED when --tenants is given")
    parser.add_argument("--kafka", required=True, help="bootstrap servers")
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("--batch", type=int, default=2_000)
    parser.add_argument("--tenants", type=int, help="seed events of so many tenants first")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser


if __name__ == "__main__":
    main()
