"""The record of what operators did is searched by index, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.models import OperatorAction
from outbox.operations import actions, audit
from outbox.operations.actions import PAGE, ActionFilter
from tests.outbox.operations.rows import ANN
from tests.support.plans import Plan

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def done(verb: str = "pause", *, tenants: tuple[str, ...] = ("acme",), actor: str = "ann", **more: Any) -> int:
    values = {"source": "admin", "reason": "a move of theirs", **more}
    return OperatorAction.objects.create(actor=actor, verb=verb, tenants=list(tenants), **values).pk


def found(**asked: Any) -> list[int]:
    return [each.pk for each in actions.browse(ActionFilter(**asked)).actions]


def test_all_that_is_given_has_to_hold() -> None:
    wanted = done("replay", tenants=("acme", "globex"), at=BEGAN)
    done("replay", actor="bob", at=BEGAN), done("pause", at=BEGAN), done("replay", tenants=("zeta",), at=BEGAN)
    done("replay", tenants=("globex",), reason="x", at=BEGAN), done("replay", tenants=("globex",))
    asked = {"actor": "ann", "verb": "replay", "tenant_id": "globex", "words": "theirs MOVE"}
    assert found(**asked, until=BEGAN + timedelta(hours=1)) == [wanted]
    assert found(**asked, since=BEGAN + timedelta(hours=1)) != [wanted]


def test_a_range_of_times_has_its_beginning_and_not_its_end() -> None:
    ids = [done(at=BEGAN + timedelta(hours=hour)) for hour in (2, 1, 3)]
    assert found(since=BEGAN + timedelta(hours=1), until=BEGAN + timedelta(hours=3)) == [ids[1], ids[0]]
    assert found(since=BEGAN + timedelta(hours=4)) == found(until=BEGAN) == []


def test_whoever_is_limited_sees_what_was_about_none_but_their_tenants() -> None:
    ours = done(tenants=("acme",))
    done(tenants=("acme", "globex")), done(tenants=("*",)), done(tenants=())
    assert found(tenants=frozenset({"acme"})) == [ours]
    assert found(tenants=frozenset({"acme"}), tenant_id="globex") == []


def test_pages_follow_one_another() -> None:
    ids = [done() for _ in range(PAGE + 3)][::-1]
    first = actions.browse(ActionFilter())
    second = actions.browse(ActionFilter(), before=first.older)
    assert [each.pk for page in (first, second) for each in page.actions] == ids
    assert second.older is None


def test_a_record_about_a_tenant_in_its_filter_is_about_that_tenant() -> None:
    audit.record(by=ANN, verb="pause", using="default", filter={"tenant": "acme"})
    audit.record(by=ANN, verb="replay", using="default", tenants=["b", "a", "b"], filter={"tenant": "acme"})
    assert [each.tenants for each in OperatorAction.objects.order_by("id")] == [["acme"], ["a", "b"]]


@pytest.fixture
def many() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_operator_actions (at, actor, source, verb, tenants, filter, counts, reason)"
            " SELECT timestamptz '2026-01-01' + i * interval '1 minute', 'user-' || i % 500, 'admin',"
            " 'verb-' || i % 500, ARRAY['tenant-' || i % 500], '{}', '{}', 'because of ticket-' || i % 500"
            " FROM generate_series(1, 50000) i"
        )
        cursor.execute("ANALYZE outbox_operator_actions")
    yield


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"actor": "user-7"},
        {"verb": "verb-7"},
        {"tenant_id": "tenant-7"},
        {"words": "ticket-7"},
        {"actor": "nobody"},
        {"tenants": frozenset({"tenant-7", "tenant-8"})},
        {"since": BEGAN + timedelta(days=3), "until": BEGAN + timedelta(days=4)},
    ],
)
def test_each_search_goes_by_an_index_and_reads_little(asked: dict[str, Any]) -> None:
    with CaptureQueriesContext(connection) as queries:
        actions.browse(ActionFilter(**asked))
    for query in queries.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query["sql"])
            explained = cursor.fetchone()[0]
        plan = Plan(explained if isinstance(explained, str) else json.dumps(explained))
        assert plan.scans() == []
        assert plan.rows_read() <= 2_000 + PAGE
