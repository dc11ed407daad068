"""Dead letters in groups, where there are many topics."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.models import OutboxEvent
from outbox.operations import dead_letters
from outbox.operations.dead_letters import MOST_GROUPS, groups
from outbox.operations.quick import quick
from tests.support.plans import Plan

pytestmark = pytest.mark.django_db

FOREIGN = 150


@pytest.fixture(autouse=True)
def topics() -> None:
    """Of many other tenants, and behind all of theirs in the alphabet the largest one, and one of acme."""
    rows = [
        {"tenant_id": f"other-{n}", "topic": f"orders-{n:04d}", "error_class": f"e-{n:04d}"} for n in range(FOREIGN)
    ]
    rows += 3 * [{"tenant_id": "other-0", "topic": "payments", "error_class": "expired"}]
    rows += 2 * [{"tenant_id": "acme", "topic": "zebra", "error_class": "topic"}]
    dead = {"status": "failed", "attempts": 20, "payload": {}}
    OutboxEvent.objects.bulk_create(OutboxEvent(dedupe_key=str(n), **dead, **row) for n, row in enumerate(rows))


def test_a_tenants_groups_are_found_behind_the_topics_of_many_others() -> None:
    found = groups(tenants=["acme"])
    for kind, name in ((found.by_topic, "zebra"), (found.by_class, "topic")):
        assert [(group.name, group.events, group.tenants) for group in kind.groups] == [(name, 2, 1)]
        assert not kind.more
        assert not kind.is_cut


def test_the_largest_groups_come_first_wherever_they_stand_in_the_alphabet() -> None:
    found = groups().by_topic
    assert [(group.name, group.events) for group in found.groups[:3]] == [
        ("payments", 3),
        ("zebra", 2),
        ("orders-0000", 1),
    ]
    assert (len(found.groups), found.more, found.is_cut) == (MOST_GROUPS, True, False)


@pytest.mark.parametrize("tenants", [None, ["acme"]], ids=["all", "scoped"])
def test_no_more_names_are_looked_at_than_a_bound_and_it_is_known(
    monkeypatch: pytest.MonkeyPatch, tenants: list[str] | None
) -> None:
    everything = FOREIGN + 2
    monkeypatch.setattr(dead_letters, "MOST_NAMES", everything)
    assert not groups(tenants=tenants).by_topic.is_cut
    monkeypatch.setattr(dead_letters, "MOST_NAMES", FOREIGN)
    found = groups(tenants=tenants).by_topic
    assert found.is_cut
    assert "zebra" not in [group.name for group in found.groups]


def test_without_dead_letters_there_is_no_group() -> None:
    OutboxEvent.objects.all().delete()
    found = groups(tenants=["acme"])
    assert (found.by_topic.groups, found.by_topic.more, found.by_topic.is_cut) == ((), False, False)


@pytest.mark.parametrize("tenants", [None, ["acme"]], ids=["all", "scoped"])
def test_many_names_are_looked_at_by_index_as_often_as_there_are_names(tenants: list[str] | None) -> None:
    with CaptureQueriesContext(connection) as queries:
        groups(tenants=tenants)
    asked = [each["sql"] for each in queries if "WITH RECURSIVE" in each["sql"]]
    with quick("default"), connection.cursor() as cursor:
        plans = [Plan(cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {each}").fetchone()[0]) for each in asked]
    assert [plan.scans() for plan in plans] == [[], []]
    assert plans[0].indexes == {"ix_outbox_dead_letter_class"}
    assert plans[1].indexes == {"ix_outbox_dead_letter_topic"}
    assert max(plan.rows_read() for plan in plans) <= 1.1 * FOREIGN
