"""Shares of a relay's work: by weight, and for everyone beside an elephant."""

from __future__ import annotations

import pytest
from django.db.models import Max

from outbox import conf
from outbox.models import EventStatus, OutboxEvent, TenantPolicy
from tests.proofs.sizes import size
from tests.proofs.stage import Stage, sent
from tests.support.waiting import wait_until

WEIGHTS = {"gold": 5, "silver": 3, "bronze": 2}
ELEPHANT = "elephant"


@pytest.mark.timeout(300)
def test_f3_weights_are_kept_within_three_percent(stage: Stage) -> None:
    """Weights 5:3:2, three lanes, one relay, while all three have a backlog."""
    backlog = size(40_000, 400_000)
    TenantPolicy.objects.bulk_create(TenantPolicy(tenant_id=name, weight=weight) for name, weight in WEIGHTS.items())
    stage.seed(dict.fromkeys(WEIGHTS, backlog))
    stage.start_relays(1)
    wait_until(lambda: sent() > backlog)
    stage.stop_relays()
    published = {name: sent(name) for name in WEIGHTS}
    assert max(published.values()) < backlog, "none may have run dry"
    total = sum(published.values())
    for name, weight in WEIGHTS.items():
        assert published[name] / total == pytest.approx(weight / sum(WEIGHTS.values()), abs=0.03)


@pytest.mark.timeout(300)
def test_f5_ten_thousand_tenants_are_served_before_an_elephant_gets_a_third_round(stage: Stage) -> None:
    """A round is at most a batch. When the last of them has been served, the elephant has had no more than two."""
    stage.seed({ELEPHANT: size(60_000, 600_000)})
    OutboxEvent.objects.bulk_create(
        (
            OutboxEvent(tenant_id=f"mouse-{number}", topic=stage.topic, dedupe_key="only", payload={"sequence": 1})
            for number in range(10_000)
        ),
        batch_size=2_000,
    )
    stage.start_relays(1)
    mice = OutboxEvent.objects.filter(tenant_id__startswith="mouse-")
    wait_until(lambda: not mice.exclude(status=EventStatus.SENT).exists(), timeout=120)
    last = mice.aggregate(last=Max("sent_at"))["last"]
    elephants = OutboxEvent.objects.of_tenant(ELEPHANT).filter(sent_at__lte=last).count()
    stage.stop_relays()
    assert elephants <= 2 * conf.get().batch_size
