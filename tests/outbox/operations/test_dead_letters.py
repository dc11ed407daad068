"""Dead letters in groups, where there are many topics."""

from __future__ import annotations

import pytest

from outbox.models import OutboxEvent
from outbox.operations import dead_letters
from outbox.operations.dead_letters import MOST_GROUPS, groups

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
