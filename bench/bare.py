"""The loops that the relay is compared with: they drain what is pending as fast as Python can, no more.

`turn` is the floor: fetch, produce, flush and update, each waiting for the one before. `overlapped` is the
limit: while a thread settles one batch, the next is fetched past it and produced.
"""

from __future__ import annotations

import argparse
import gc
import os
import queue
import threading
import traceback
import uuid

from bench import broker, load
from bench.service import configure
from bench.steps import PATIENCE, Backlog, Batch, Ledger, Outlet


def in_turn(backlog: Backlog, outlet: Outlet, ledger: Ledger, *, size: int) -> None:
    """Drain one batch after the other, one step after the other."""
    while (batch := backlog.fetch(size)) is not None:
        outlet.produce(batch)
        outlet.flush(PATIENCE)
        ledger.settle(batch)


def overlapped(backlog: Backlog, outlet: Outlet, ledger: Ledger, *, size: int) -> None:
    """Drain with the database and the broker at work at the same time.

    The thread gets a batch as soon as it is acknowledged, and settles it while the next one is fetched and produced.
    Tried: to fetch first and collect the reports after, which lets the thread, the slowest part, wait for the fetch.
    """
    settler = _Settler(ledger)
    while (batch := backlog.fetch(size)) is not None:
        outlet.produce(batch)
        settler.settle(_acknowledged(outlet, batch))
    settler.close()


class _Settler:
    """Settles one batch after the other in a thread; one more may wait for it."""

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
        try:
            while (batch := self._waiting.get()) is not None:
                self._ledger.settle(batch)
        except BaseException:
            # Nobody would take the next batch, and the main thread would wait for ever.
            traceback.print_exc()
            os._exit(1)


def _acknowledged(outlet: Outlet, batch: Batch) -> Batch:
    while len(batch.ids) < batch.events:
        outlet.flush(0.1)
    return batch


LOOPS = {"turn": in_turn, "overlapped": overlapped}


def drain(*, loop: str, size: int) -> None:
    """Run one loop until nothing is pending."""
    outlet = Outlet()
    outlet.warm()
    # Nothing here makes cycles; looking for them took a tenth of Python's time.
    gc.disable()
    LOOPS[loop](Backlog(), outlet, Ledger(), size=size)


def main() -> None:
    """Drain what is pending, or, with --tenants, seed a backlog and say how fast it was drained."""
    options = _parser().parse_args()
    configure(database_url=options.database_url, kafka=options.kafka)
    if options.tenants is None:
        drain(loop=options.loop, size=options.batch)
        return
    for _ in range(options.rounds):
        topic = f"bench-{uuid.uuid4().hex[:12]}"
        broker.create_topic(options.kafka, topic)
        load.empty(options.database_url)
        wanted = load.Load(events=options.events, tenants=options.tenants)
        load.seed(options.database_url, wanted, topic=topic)
        drain(loop=options.loop, size=options.batch)
        print(broker.drained(options.kafka, topic, database_url=options.database_url).line(), flush=True)


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
