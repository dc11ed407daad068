"""Quiet tenants beside one with a large backlog: how long they wait, and what they cost the noisy one."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench import broker, load
from bench.load import Load
from bench.measure import percentile
from bench.processes import relays
from bench.report import Figure, at_least, at_most
from bench.rounds import Options, fresh_topic
from bench.servers import Servers
from bench.traffic import Journal, commit_steadily, consuming

_QUIET = [f"quiet-{number}" for number in range(9)]
_PER_SECOND = 50
_BACKLOG = 1_000_000
_LEFT_OVER = 100_000
_ALONE_SECONDS = 10.0
_TRIAL_SECONDS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    p99_ms: float
    kept: float
    rate: float


def run(servers: Servers, options: Options) -> list[Figure]:
    """Nine quiet tenants with 50 events a second together, at least 100,000 events pending beside them."""
    alone: list[float] = []
    beside: list[_Beside] = []
    for _ in range(options.rounds):
        alone.append(_alone(servers, seconds=_ALONE_SECONDS / 3 if options.quick else _ALONE_SECONDS))
        beside.append(_beside_a_backlog(servers, backlog=_BACKLOG // 2 if options.quick else _BACKLOG))
        now = beside[-1]
        print(
            f"    quiet p99 {alone[-1]:.1f} ms alone, {now.p99_ms:.1f} ms beside the backlog; "
            f"the noisy tenant keeps {now.kept:.1%} of {now.rate:,.0f} events/s",
            flush=True,
        )
    return [
        Figure(key="quiet_alone_p99_ms", what="quiet tenants alone, p99, ms", samples=alone),
        Figure(
            key="quiet_p99_ms",
            what="quiet tenants beside a backlog, p99, ms",
            samples=[each.p99_ms for each in beside],
            asked=at_most(60),
        ),
        Figure(what="noisy tenant alone, events/s", samples=[each.rate for each in beside]),
        Figure(
            what="noisy tenant: what it keeps of that beside them",
            samples=[each.kept for each in beside],
            asked=at_least(0.9),
        ),
    ]


def _alone(servers: Servers, *, seconds: float) -> float:
    load.empty(servers.database_url)
    with fresh_topic(servers) as topic, relays(servers, count=1):
        return _quiet_p99_ms(servers, topic, seconds=seconds)


def _beside_a_backlog(servers: Servers, *, backlog: int) -> _Beside:
    """The noisy tenant's rate is taken before and after, in the same drain, so that a drift of the machine cancels."""
    load.empty(servers.database_url)
    with fresh_topic(servers) as noisy, fresh_topic(servers) as quiet:
        load.seed(servers.database_url, Load(events=backlog, tenants=1), topic=noisy)
        with relays(servers, count=1), broker.Watermarks(servers.kafka, noisy) as watermarks:
            pace = _Pace(watermarks)
            trial = pace.over(_TRIAL_SECONDS)
            # Four parts, of which three are used: relay and broker get faster as they get warm.
            part = (backlog - _LEFT_OVER - watermarks.messages()) / trial / 4
            before = pace.over(part / 2)
            pace.begin()
            p99_ms = _quiet_p99_ms(servers, quiet, seconds=2 * part)
            during = pace.end()
            if backlog - watermarks.messages() < _LEFT_OVER / 2:
                raise SystemExit("The backlog was gone before the end of the measurement.")
            after = pace.over(part / 4)
    rate = (before + after) / 2
    return _Beside(p99_ms=p99_ms, kept=during / rate, rate=rate)


class _Pace:
    """Events per second that arrive on a topic."""

    def __init__(self, watermarks: broker.Watermarks) -> None:
        self._watermarks = watermarks
        while not watermarks.messages():
            time.sleep(0.01)
        self.begin()

    def begin(self) -> None:
        self._messages, self._at = self._watermarks.messages(), time.monotonic()

    def end(self) -> float:
        messages, at = self._watermarks.messages(), time.monotonic()
        return (messages - self._messages) / (at - self._at)

    def over(self, seconds: float) -> float:
        self.begin()
        time.sleep(seconds)
        return self.end()


def _quiet_p99_ms(servers: Servers, topic: str, *, seconds: float) -> float:
    journal = Journal()
    with consuming(journal, bootstrap_servers=servers.kafka, topic=topic):
        commit_steadily(journal, topic=topic, tenants=_QUIET, per_second=_PER_SECOND, seconds=seconds)
        journal.wait_until_all_received()
    return percentile(journal.latencies_ms(), 0.99)
