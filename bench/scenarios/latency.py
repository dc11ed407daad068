"""From the commit of an event to its delivery report, one relay, nothing else to do."""

from __future__ import annotations

from functools import partial

from bench import load
from bench.measure import percentile
from bench.processes import reporting_relay
from bench.report import Figure, at_most
from bench.rounds import Options, fresh_topic
from bench.servers import Servers
from bench.traffic import Journal, commit_steadily, consuming

_TENANTS = [f"tenant-{number}" for number in range(10)]
_PER_SECOND = 50
_WARM_UP_SECONDS = 2.0


def run(servers: Servers, options: Options) -> list[Figure]:
    """50 events a second."""
    reported: list[list[float]] = []
    consumed: list[list[float]] = []
    for _ in range(options.rounds):
        to_report, to_consumer = _round(servers, seconds=3.0 if options.quick else 20.0)
        reported.append(to_report)
        consumed.append(to_consumer)
        middle, slow = percentile(to_report, 0.5), percentile(to_report, 0.99)
        print(f"    p50 {middle:.2f} ms, p99 {slow:.2f} ms of {len(to_report):,} events", flush=True)
    return [
        Figure(what="latency: to the consumer, p50, ms", samples=[percentile(each, 0.5) for each in consumed]),
        Figure(what="latency: to the consumer, p99, ms", samples=[percentile(each, 0.99) for each in consumed]),
        Figure(
            key="latency_p50_ms",
            what="latency: to the delivery report, p50, ms",
            samples=[percentile(each, 0.5) for each in reported],
            asked=at_most(3),
        ),
        Figure(
            key="latency_p99_ms",
            what="latency: to the delivery report, p99, ms",
            samples=[percentile(each, 0.99) for each in reported],
            asked=at_most(10),
        ),
    ]


def _round(servers: Servers, *, seconds: float) -> tuple[list[float], list[float]]:
    journal = Journal()
    load.empty(servers.database_url)
    with fresh_topic(servers) as topic, reporting_relay(servers) as reported:
        commit = partial(commit_steadily, topic=topic, tenants=_TENANTS, per_second=_PER_SECOND)
        commit(Journal(), seconds=_WARM_UP_SECONDS)
        with consuming(journal, bootstrap_servers=servers.kafka, topic=topic):
            commit(journal, seconds=seconds)
            journal.wait_until_all_received()
    to_report = [(reported[key] - at) * 1_000 for key, at in journal.committed.items()]
    return to_report, journal.latencies_ms()
