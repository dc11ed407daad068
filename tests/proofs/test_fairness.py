"""Shares of the relays' work: equal, by weight, within limits, and for everyone beside an elephant."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from django.db import transaction
from django.db.models import Max, Min

from outbox.models import EventStatus, OutboxEvent, TenantPolicy
from somabrain.embedded.leash import Leashed
from tests.proofs.sizes import FULL, SLOW, size
from tests.proofs.stage import HANG_GUARD_SECONDS, Span, Stage, come_to_rest, drained, forget_everything, sent
from tests.proofs.verdicts import judge, least, most
from tests.proofs.writers import Load
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

WEIGHTS = {"gold": 5, "silver": 3, "bronze": 2}
ELEPHANT = "elephant"
RELAYS = 2
SETTLED_SECONDS = 2
"""Until the second relay has started, the first one has all lanes to itself."""
LANES_EACH = 5
"""A lane is one relay's for a tenure, a tenth of a window: fewer cannot be divided more evenly than that."""
OTHERS = [f"tenant-{number}" for number in range(9)]


def max_min(demands: Mapping[str, float], capacity: float) -> dict[str, float]:
    """What each gets when nobody can have more without somebody with less losing some."""
    shares: dict[str, float] = {}
    left = dict(demands)
    while left:
        equal = capacity / len(left)
        modest = {name: demand for name, demand in left.items() if demand <= equal}
        if not modest:
            return shares | dict.fromkeys(left, equal)
        shares |= modest
        capacity -= sum(modest.values())
        left = {name: demand for name, demand in left.items() if name not in modest}
    return shares


def less(counts: Mapping[str, int], sent: Mapping[str, int]) -> dict[str, int]:
    """What is left, of those who have anything left."""
    return {name: count - sent.get(name, 0) for name, count in counts.items() if count > sent.get(name, 0)}


def jain(values: list[float]) -> float:
    """Jain, Chiu, Hawe: A Quantitative Measure of Fairness, DEC TR-301, 1984."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


@pytest.mark.timeout(900)
def test_f2_equal_tenants_with_unequal_backlogs_get_equal_shares(stage: Stage) -> None:
    """Fifty tenants, backlogs as Zipf has them: each window against its max-min shares, once both are at work."""
    total, window = size(80_000, 4_000_000), size(1, 10)
    harmonic = sum(1 / rank for rank in range(1, 51))
    left = {f"tenant-{rank:02}": int(total / harmonic / rank) for rank in range(1, 51)}
    stage.seed(left)
    come_to_rest()
    stage.start_relays(RELAYS, **SLOW)
    stage.wait_until_all_sent(timeout=600)
    run = drained()
    if FULL:
        before = Span(run.begin, run.begin + SETTLED_SECONDS)
        run, left = replace(run, begin=before.end), less(left, before.sent())
    indices: list[float] = []
    worst = 0.0
    for number in range(int(run.seconds // window)):
        begin = run.begin + number * window
        got = Span(begin, begin + window).sent()
        capacity = sum(got.values())
        fair = max_min(left, capacity)
        left = less(left, got)
        if indices and len(left) < LANES_EACH * RELAYS:
            break
        # Where nothing was sent, nobody got anything of their share.
        ratios = [got[name] / share if share else 0.0 for name, share in fair.items()]
        indices.append(jain(ratios) if any(ratios) else 0.0)
        worst = max(worst, *(abs(ratio - 1) for ratio in ratios))
    stage.stop_relays()
    judge(
        # In one second another process may have the whole of a small machine, and a relay nothing.
        least("F2", f"Jain index, the worst of {len(indices)} windows", min(indices), 0.99),
        least("F2", f"Jain index, the median of {len(indices)} windows", median(indices), 0.99, small=0.5),
        most("F2", "farthest from its max-min share", worst, 0.03),
    )


@pytest.mark.timeout(300)
def test_f3_weights_are_kept_within_three_percent(stage: Stage) -> None:
    """Weights 5:3:2, three lanes, one relay, while all three have a backlog."""
    backlog = size(50_000, 400_000)
    TenantPolicy.objects.bulk_create(TenantPolicy(tenant_id=name, weight=weight) for name, weight in WEIGHTS.items())
    stage.seed(dict.fromkeys(WEIGHTS, backlog))
    stage.start_relays(1, **SLOW)
    wait_until(lambda: sent() > backlog)
    stage.stop_relays()
    published = {name: sent(name) for name in WEIGHTS}
    assert max(published.values()) < backlog, "none may have run dry"
    total = sum(published.values())
    farthest = max(abs(published[name] / total - weight / sum(WEIGHTS.values())) for name, weight in WEIGHTS.items())
    judge(most("F3", "farthest from its share by weight", farthest, 0.03, small=0.03))


@pytest.mark.timeout(300)
def test_f5_ten_thousand_tenants_are_served_before_an_elephant_gets_a_third_round(stage: Stage) -> None:
    """A round is at most a batch. When the last of them has been served, the elephant has had no more than two."""
    batch = 500
    stage.start_relays(2, OUTBOX_BATCH_SIZE=str(batch))
    with transaction.atomic():
        stage.seed({ELEPHANT: size(60_000, 600_000)})
        OutboxEvent.objects.bulk_create(
            (
                OutboxEvent(tenant_id=f"mouse-{number}", topic=stage.topic, dedupe_key="only", payload={"sequence": 1})
                for number in range(10_000)
            ),
            batch_size=2_000,
        )
    mice = OutboxEvent.objects.filter(tenant_id__startswith="mouse-")
    wait_until(lambda: not mice.exclude(status=EventStatus.SENT).exists(), timeout=120)
    last = mice.aggregate(last=Max("sent_at"))["last"]
    elephants = OutboxEvent.objects.of_tenant(ELEPHANT).filter(sent_at__lte=last).count()
    stage.stop_relays()
    rounds = elephants / batch
    # A busy machine leaves it more, while lanes are given back and claimed; unfair, it would have a hundred.
    judge(most("F5", "rounds of the elephant before 10,000 others are served", rounds, 2, small=10))


@pytest.mark.timeout(900)
def test_f6_fairness_costs_an_elephant_alone_next_to_nothing(stage: Stage, tmp_path: Path) -> None:
    """The same relay with and without, in turns."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    for number in range(size(1, 5) * 2):
        fair = number % 2 == 0
        forget_everything()
        stage.seed({ELEPHANT: size(30_000, 200_000)})
        relay = ("manage.py", "outbox", "relay", "--until-empty") if fair else ("-m", "tests.proofs.unfair")
        environment = {**clean_environment(), **stage.environment, "DJANGO_SETTINGS_MODULE": "somabrain.settings"}
        process = Leashed([sys.executable, *relay], log=tmp_path / f"{number}.log", environment=environment)
        try:
            assert process.wait(timeout=HANG_GUARD_SECONDS) == 0, process.log.read_text()
        finally:
            process.kill()
        rates[fair].append(drained().rate())
    kept = median(rates[True]) / median(rates[False])
    judge(least("F6", "elephant alone, to itself without fairness", kept, 0.95, small=0.3))


@pytest.mark.timeout(900)
def test_f7_a_limited_tenant_gets_its_limit_and_costs_the_others_nothing(stage: Stage) -> None:
    """It has a hundred thousand events, older than all others; rounds with it and without it take turns."""
    limit, seconds = size(200, 500), size(4, 10)
    TenantPolicy.objects.create(tenant_id="limited", rate=limit)
    rates: dict[bool, list[float]] = {True: [], False: []}
    got = []
    for number in range(size(1, 3) * 2):
        limited = number % 2 == 1
        forget_everything()
        stage.seed({"limited": size(20_000, 100_000)} if limited else {})
        stage.seed(dict.fromkeys(OTHERS, size(15_000, 110_000)))
        stage.start_relays(2, **SLOW)
        wait_until(lambda: sent() > 0)
        stage.wait_while_at_work(1)
        span = stage.wait_while_at_work(seconds)
        stage.stop_relays()
        stage.relays.clear()
        rates[limited].append(span.rate(*OTHERS))
        if limited:
            got.append(span.rate("limited") / limit)
    kept = median(rates[True]) / median(rates[False])
    judge(
        least("F7", "others beside it, to themselves alone", kept, 0.95, small=0.3),
        least("F7", "what it gets of its limit", min(got), 0.95, small=0.4),
        most("F7", "what it gets of its limit at most", max(got), 1.02, small=1.6),
    )


@pytest.mark.timeout(900)
def test_f13_idle_time_is_not_saved_up(stage: Stage) -> None:
    """A tenant that was served once and then idle while the others were served without pause, and then has a burst."""
    idle, seconds = size(1, 600), size(2, 5)
    stage.seed({"sleeper": 100} | dict.fromkeys(OTHERS, size(20_000, 50_000)))
    stage.start_relays(2, **SLOW)
    wait_until(lambda: sent("sleeper") == 100)
    # A backlog for so long would fill the disk.
    with stage.writing(Load(topic=stage.topic, tenants=dict.fromkeys(OTHERS, 1.0), events=5, rate=200), processes=1):
        stage.wait_while_at_work(idle)
    # All at once, or some of the others would be done before it begins.
    with transaction.atomic():
        stage.seed(dict.fromkeys(OTHERS, size(15_000, 100_000)), first=1_000_001)
        stage.seed({"sleeper": size(20_000, 100_000)}, first=101)
    wait_until(lambda: sent("sleeper") > 100)
    stage.wait_while_at_work(seconds)
    # What was saved up would be spent first of all, in less time than it takes to see that it has begun.
    events = OutboxEvent.objects.of_tenant("sleeper").filter(payload__sequence__gt=100)
    begin = events.aggregate(first=Min("sent_at"))["first"].timestamp()
    shares = Span(begin, begin + seconds).sent()
    stage.stop_relays()
    assert min(shares[name] for name in OTHERS) > 0, "none may have run dry"
    share = shares["sleeper"] / shares.total()
    judge(most("F13", f"share of a burst after {idle} s of idleness", share, 0.1 + 0.03, small=0.3))
