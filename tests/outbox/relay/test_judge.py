"""Whose fault the failures of a settle are, and what they burn."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from outbox.relay.blame import GRACE_SECONDS, WINDOW_SECONDS
from outbox.relay.judge import MOST_HELD_SECONDS, Judge
from outbox.relay.session import Connection
from outbox.relay.settle import CircuitReport, Failed, Settle
from tests.outbox.relay.conftest import Tables

CODE = KafkaError.TOPIC_AUTHORIZATION_FAILED


def failed(
    number: int,
    *,
    tenant: str = "acme",
    topic: str = "orders",
    code: int = CODE,
    suspect: bool = True,
    spared: bool = False,
) -> Failed:
    return Failed(tenant, number, None, code, "refused", "no", topic=topic, suspect=suspect, spared=spared)


def judged(session: Connection, *events: Failed, after: float = GRACE_SECONDS) -> Settle:
    """The second of two such settles, so long after the first."""
    moments = iter([0.0, after])
    judge = Judge(clock=lambda: next(moments), draw=lambda: 0.5)
    for _ in range(2):
        job = Settle(failed=list(events), reports=[CircuitReport(name, 1, 0) for name in {e.tenant for e in events}])
        judge.judge(session, job)
    return job


def told(job: Settle) -> dict[str, list[str]]:
    return {report.tenant: report.failed for report in job.reports}


def test_a_tenant_that_fails_alone_is_told_of_and_its_attempts_are_burned(session: Connection) -> None:
    job = judged(session, failed(1), failed(2))
    assert told(job) == {"acme": ["refused", "refused"]}
    assert len(job.failed) == 2


def test_trouble_that_has_just_begun_is_nobodys(session: Connection) -> None:
    assert told(judged(session, failed(1), after=GRACE_SECONDS / 2)) == {"acme": []}


def test_two_tenants_on_one_topic_are_not_told_of(session: Connection) -> None:
    job = judged(session, failed(1), failed(2, tenant="globex"), failed(3, tenant="globex", topic="own"))
    assert told(job) == {"acme": [], "globex": ["refused"]}
    assert len(job.failed) == 3


@pytest.mark.parametrize(
    ("seconds", "delay"),
    [(0.0, 0.375), (20.0, 15.0), (50.0, 37.5), (MOST_HELD_SECONDS, 45.0), (WINDOW_SECONDS * 0.9, 45.0)],
)
def test_what_waits_for_a_topic_of_several_tenants_is_held_longer_and_longer(
    session: Connection, seconds: float, delay: float
) -> None:
    job = judged(session, failed(1), failed(2, tenant="globex"), after=seconds)
    assert [event.held for event in job.failed] == [True, True]
    assert [event.delay for event in job.failed] == pytest.approx([delay, delay])


def test_other_trouble_of_a_topic_ends_as_it_did(session: Connection) -> None:
    """Held is what a topic's owner can mend, and not what its limits refuse."""
    code = KafkaError.POLICY_VIOLATION
    job = judged(session, failed(1, code=code), failed(2, tenant="globex", code=code))
    assert [(event.held, event.delay) for event in job.failed] == [(False, None)] * 2


def test_what_other_relays_met_meanwhile_is_known_when_the_grace_ends(session: Connection, tables: Tables) -> None:
    moments = iter([0.0, GRACE_SECONDS])
    judge = Judge(clock=lambda: next(moments))
    judge.judge(session, Settle(failed=[failed(1)]))
    (other,) = tables.add("row", tenant="globex", topic="orders")
    tables.execute(
        "INSERT INTO outbox_attempts (event_id, relay_id, error_class, code, message)"
        " VALUES (%(id)s, gen_random_uuid(), 'refused', 29, 'no')",
        id=other,
    )
    job = Settle(failed=[failed(1)], reports=[CircuitReport("acme", 1, 0)])
    judge.judge(session, job)
    assert told(job) == {"acme": []}


def test_a_failed_probe_burns_nothing_unless_the_topic_is_to_blame(session: Connection) -> None:
    alone = judged(session, failed(1, spared=True), after=0.0)
    assert (told(alone), alone.failed) == ({"acme": ["refused"]}, [])
    shared = judged(session, failed(1, spared=True), failed(2, tenant="globex"))
    assert [event.event_id for event in shared.failed] == [1, 2]


def test_poison_is_burned_and_told_of_nobody(session: Connection) -> None:
    job = judged(session, failed(1, suspect=False, spared=True))
    assert told(job) == {"acme": []}
    assert len(job.failed) == 1
