"""The checker must be able to fail: each fault, made up, is found, and nothing else with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.proofs.history import Delivery, History, Incomplete, Stored, Verdict, read_journals, read_topics
from tests.support.mock_cluster import MockCluster


def stored(event_id: int, *, key: str = "row", sequence: int | None = None, status: str = "sent") -> Stored:
    where = (0, event_id) if status == "sent" else (None, None)
    return Stored(event_id, "acme", key, event_id if sequence is None else sequence, status, "news", *where)


def delivered(event_id: int, *, key: str = "row", sequence: int | None = None, at: float = 0.0) -> Delivery:
    return Delivery(event_id, "acme", key, event_id if sequence is None else sequence, "news", 0, event_id, at)


def faults(history: History) -> set[str]:
    return set(history.judge().faults)


def test_a_run_without_fault_has_none() -> None:
    history = History([stored(1), stored(2)], [delivered(1), delivered(2)], journal={1: True, 2: True, 3: False})
    assert history.judge() == Verdict()


def test_a_committed_event_without_a_message_is_lost() -> None:
    assert faults(History([stored(1, status="pending")], [])) == {"lost", "unsent"}


def test_a_receipt_for_what_never_arrived_is_false() -> None:
    assert faults(History([stored(1)], [])) == {"lost", "false_receipts"}


def test_a_receipt_that_points_at_another_event_is_false() -> None:
    swapped = [replace(stored(1), offset=2), replace(stored(2), offset=1)]
    verdict = History(swapped, [delivered(1), delivered(2)]).judge()
    assert verdict.false_receipts == (1, 2)
    assert set(verdict.faults) == {"false_receipts"}


def test_a_message_without_a_row_is_a_phantom() -> None:
    assert faults(History([], [delivered(1)])) == {"phantoms"}


def test_an_event_of_a_rolled_back_transaction_must_not_show() -> None:
    assert faults(History([stored(1)], [delivered(1)], journal={1: False})) == {"resurrected"}
    assert faults(History([], [delivered(1)], journal={1: False})) == {"phantoms", "resurrected"}


def test_a_row_that_was_committed_must_not_vanish() -> None:
    assert faults(History([], [], journal={1: True})) == {"vanished"}


def test_a_first_delivery_behind_its_successor_is_an_inversion() -> None:
    late = replace(delivered(1), offset=3)
    history = History([replace(stored(1), offset=3), stored(2)], [delivered(2), late])
    assert history.judge().inversions == ((late, delivered(2)),)


def test_every_event_behind_a_successor_counts() -> None:
    deliveries = [delivered(3), delivered(1), delivered(2)]
    assert len(History([], deliveries).judge().inversions) == 2


def test_a_redelivery_is_a_duplicate_and_no_inversion() -> None:
    again = replace(delivered(1), offset=3)
    verdict = History([stored(1), stored(2)], [delivered(1), delivered(2), again]).judge()
    assert not verdict.faults
    assert [duplicate.again for duplicate in verdict.duplicates] == [again]


def test_keys_order_with_themselves_alone_and_events_without_one_with_nothing() -> None:
    deliveries = [
        delivered(1, key="a", sequence=2),
        delivered(2, key="b", sequence=1),
        delivered(3, key="", sequence=9),
        delivered(4, key="", sequence=8),
    ]
    assert not History([], deliveries).judge().inversions


def test_a_key_on_two_partitions_has_no_order() -> None:
    history = History([], [delivered(1), replace(delivered(2), partition=1)])
    assert history.judge().scattered == (("acme", "row"),)


@pytest.mark.parametrize(
    ("first", "again", "kill"),
    [(0.0, 4.0, 0), (2.5, 4.0, 1), (0.0, 1.5, 0)],
    ids=["the earlier of two kills", "the later kill", "right after the kill"],
)
def test_a_duplicate_is_blamed_on_the_kill_that_cut_its_work_off(first: float, again: float, kill: int) -> None:
    verdict = History([], [delivered(1, at=first), replace(delivered(1, at=again), offset=9)]).judge()
    counts, unexplained = verdict.duplicates_by_kill([3.0, 1.0], slack=0)
    assert dict(counts) == {kill: 1}
    assert not unexplained


def test_an_event_that_two_kills_cut_off_counts_once_for_each() -> None:
    deliveries = [replace(delivered(1, at=at), offset=offset) for offset, at in enumerate([0.0, 4.0, 2.0])]
    counts, unexplained = History([], deliveries).judge().duplicates_by_kill([1.0, 3.0], slack=0)
    assert counts == {0: 1, 1: 1}
    assert not unexplained


@pytest.mark.parametrize(("first", "again"), [(0.0, 0.9), (1.1, 2.9), (3.1, 9.0)])
def test_a_duplicate_that_no_kill_explains_is_named(first: float, again: float) -> None:
    verdict = History([], [delivered(1, at=first), replace(delivered(1, at=again), offset=9)]).judge()
    counts, unexplained = verdict.duplicates_by_kill([1.0, 3.0], slack=0)
    assert not counts
    assert len(unexplained) == 1


def test_a_journal_says_how_each_transaction_ended(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("[true, [1, 2]]\n[false, [3]]\n")
    other.write_text("[true, [4]]\n")
    assert read_journals([one, other]) == {1: True, 2: True, 3: False, 4: True}


def test_an_empty_topic_reads_as_nothing(mock_cluster: MockCluster) -> None:
    mock_cluster.create_topic("news")
    assert read_topics(mock_cluster.bootstrap_servers, ["news"]) == []


def test_a_topic_whose_beginning_is_gone_proves_nothing(mock_cluster: MockCluster) -> None:
    mock_cluster.create_topic("news", partitions=1)
    producer = Producer({"bootstrap.servers": mock_cluster.bootstrap_servers})
    for _ in range(8):
        producer.produce("news", b"x" * 900_000)
    assert producer.flush(30) == 0
    with pytest.raises(Incomplete, match="dropped"):
        read_topics(mock_cluster.bootstrap_servers, ["news"])
