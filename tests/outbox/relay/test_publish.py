from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from outbox.errors import ProducerLost
from outbox.kafka.topics import TopicState
from outbox.relay import publish
from outbox.relay.failures import SERIALISATION
from outbox.relay.lanes import CREATED, ID, Lane, Row
from outbox.relay.publish import CHUNK, Publisher
from tests.outbox.relay.conftest import lane

NOW_US = 10**15


class Topics:
    """A directory that knows what it was told."""

    def __init__(self, **states: TopicState) -> None:
        self.states = {"news": TopicState.OK, **states}
        self.forgotten: list[str] = []

    @property
    def ok(self) -> set[str]:
        return {name for name, state in self.states.items() if state is TopicState.OK}

    def state(self, topic: str) -> TopicState:
        return self.states.get(topic, TopicState.CHECKING)

    def forget(self, topic: str) -> None:
        self.forgotten.append(topic)


class Outlet:
    """A producer with a queue, whose messages are delivered when it is polled or waited for."""

    def __init__(self, *, room: int = 10_000) -> None:
        self.room = room
        self.queue: list[tuple[Row, Callable[..., None]]] = []
        self.sent: list[tuple[str, str, str, dict[str, str]]] = []
        self.refuses: dict[int, BaseException] = {}
        self.fails: dict[int, KafkaError] = {}
        self.fatal: KafkaError | None = None
        self.polls = 0

    def produce(
        self, topic: str, value: str, key: str, partition: int, report: Any, _: None, __: int, headers: list[Any]
    ) -> None:
        if len(self.queue) >= self.room:
            raise BufferError("Local: Queue full")
        row = report.args[0]
        if row[ID] in self.refuses:
            raise self.refuses[row[ID]]
        if not all(isinstance(text, str) for _, text in headers):
            raise TypeError("Unable to set header value")
        self.sent.append((topic, key, value, dict(headers)))
        self.queue.append((row, report))

    def poll(self, timeout: float) -> None:
        self.polls += 1
        for row, report in self.queue:
            report(self.fails.get(row[ID]), Receipt())
        self.queue.clear()

    wait = poll

    def note(self, error: KafkaException) -> int:
        code: int = error.args[0].code()
        return code


class Receipt:
    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7


class Room:
    """A publisher with everything around it."""

    def __init__(
        self, *, room: int = 10_000, most_events: int = 5_000, most_bytes: int = 8_000_000, **states: TopicState
    ) -> None:
        self.topics = Topics(**states)
        self.outlet = Outlet(room=room)
        self.between = 0
        self.payloads: dict[int, str] = {}
        self.loads: list[list[int]] = []
        self.publisher = Publisher(
            topics=self.topics,  # type: ignore[arg-type]
            between=self._between,
            load=self._load,
            most_bytes=most_bytes,
        )
        self.publisher.start_round(events=most_events)

    def publish(self, to: Lane, *rows: Row, late: bool = False) -> bool:
        return self.publisher.publish(to, list(rows), self.outlet, now_us=NOW_US, late=late)  # type: ignore[arg-type]

    @property
    def keys(self) -> list[str]:
        return [key for _, key, _, _ in self.outlet.sent]

    @property
    def values(self) -> list[str]:
        return [value for _, _, value, _ in self.outlet.sent]

    def _between(self) -> None:
        self.between += 1

    def _load(self, rows: list[Row]) -> dict[int, str]:
        wanted = [row[ID] for row in rows if row[5] is None][:2]
        self.loads.append(wanted)
        return {event_id: self.payloads[event_id] for event_id in wanted if event_id in self.payloads}


_ids = itertools.count(1)


def row(
    key: str = "",
    *,
    topic: str = "news",
    payload: str | None = "{}",
    attempts: int = 0,
    headers: str | None = None,
    size: int = 100,
) -> Row:
    number = next(_ids)
    return (1, number, topic, f"d-{number}", key, payload, 1_000 + number, attempts, headers, size)


def error(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


# The plain case


def test_events_are_produced_in_order_with_their_key_and_headers() -> None:
    room, first, second = Room(), row("order-1", payload='{"n": 1}'), row(payload='{"n": 2}')
    target = lane(cursor=0)
    assert room.publish(target, first, second)
    assert room.keys == ["acme:order-1", f"acme:{second[3]}"]
    assert room.values == ['{"n": 1}', '{"n": 2}']
    assert room.outlet.sent[0][3] == {
        "tenant-id": "acme",
        "dedupe-key": first[3],
        "event-id": str(first[ID]),
        "event-created-at": str(first[6] + 946_684_800_000_000),
        "attempt": "1",
        "content-type": "application/json",
    }
    assert (target.outstanding, target.cursor, target.cursor_id) == (2, second[6], second[ID])


def test_a_late_event_keeps_the_floor_below_it_until_its_own_settle() -> None:
    """Not until the end of one that was under way when it was produced, or nobody would look for it after a death."""
    room, late = Room(), row("a")
    target = lane(cursor=late[CREATED] + 500, safe=late[CREATED] + 900)
    target.begin_settle()
    assert room.publish(target, late, late=True)
    target.end_settle()
    assert (target.cursor, target.floor) == (late[CREATED] + 500, late[CREATED])
    room.outlet.poll(0)
    target.begin_settle()
    target.end_settle()
    assert target.floor == target.cursor


def test_the_applications_headers_follow_the_outboxs_own() -> None:
    room = Room()
    room.publish(lane(), row(headers=json.dumps({"traceparent": "00-1", "source": "shop"})))
    headers = room.outlet.sent[0][3]
    assert (headers["traceparent"], headers["source"], headers["tenant-id"]) == ("00-1", "shop", "acme")


def test_a_round_is_interrupted_every_few_hundred_events() -> None:
    room = Room()
    room.publish(lane(), *[row() for _ in range(CHUNK * 3)])
    assert room.between == 3


def test_small_lanes_together_are_interrupted_as_often() -> None:
    room = Room()
    for number in range(CHUNK):
        room.publish(lane(f"tenant-{number}"), row(), row())
    assert room.between == 2


# The lease


def test_nothing_is_produced_once_the_lease_may_have_ended() -> None:
    room, late = Room(), lane(deadline=time.monotonic())
    assert not room.publish(late, row())
    assert not room.outlet.sent
    assert late.cursor == 0


def test_the_lease_is_looked_at_before_every_chunk() -> None:
    room, target = Room(), lane()

    def lose() -> None:
        target.deadline = 0.0

    room.publisher._between = lose
    assert not room.publish(target, *[row() for _ in range(CHUNK + 1)])
    assert len(room.outlet.sent) == CHUNK


# Order


def test_after_a_failed_report_nothing_later_of_its_key_is_produced() -> None:
    room, target = Room(), lane()
    first, other = row("a"), row("b")
    room.outlet.fails[first[ID]] = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    room.publish(target, first, other)
    room.outlet.poll(0)
    later = [row("a"), row("b"), row("a")]
    assert room.publish(target, *later)
    assert room.keys == ["acme:a", "acme:b", "acme:b"]
    assert target.rewind_to == first[6]
    assert target.cursor == later[-1][6]


def test_a_report_that_fails_within_the_round_holds_the_rest_of_its_key() -> None:
    room, target = Room(), lane()
    rows = [row("a") for _ in range(CHUNK + 10)]
    room.outlet.fails[rows[0][ID]] = KafkaError(KafkaError._MSG_TIMED_OUT)
    room.publisher._between = lambda: room.outlet.poll(0)
    room.publish(target, *rows)
    assert len(room.outlet.sent) == CHUNK


def test_a_retry_goes_alone() -> None:
    room, target = Room(), lane()
    retry, successor, other = row("a", attempts=2), row("a"), row("b")
    room.publish(target, retry, successor, other)
    assert room.keys == ["acme:a", "acme:b"]
    assert room.outlet.sent[0][3]["attempt"] == "3"
    assert target.rewind_to == retry[6]
    room.outlet.poll(0)
    target.ids.clear()
    target.apply_rewind()
    room.publish(target, successor)
    assert room.keys == ["acme:a", "acme:b", "acme:a"]


def test_a_retry_without_a_key_delays_nothing() -> None:
    room, target = Room(), lane()
    room.publish(target, row(attempts=2), row(), row("a"))
    assert len(room.outlet.sent) == 3
    assert target.rewind_to is None


def test_an_event_whose_key_waits_in_the_database_is_passed_over() -> None:
    room, target = Room(), lane()
    waiting, free = row("a", attempts=-1, payload=None), row("b")
    assert room.publish(target, waiting, free)
    assert room.keys == ["acme:b"]
    assert target.rewind_to is None
    assert target.cursor == free[6]


# Topics


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (TopicState.MISSING, KafkaError.UNKNOWN_TOPIC_OR_PART),
        (TopicState.FORBIDDEN, KafkaError.TOPIC_AUTHORIZATION_FAILED),
    ],
)
def test_an_event_for_a_topic_that_cannot_be_written_to_never_enters_the_producer(state: TopicState, code: int) -> None:
    room, target = Room(gone=state), lane()
    refused = [row("a", topic="gone"), row("a"), row(topic="gone"), row()]
    assert room.publish(target, *refused)
    assert room.keys == [f"acme:{refused[3][3]}"]
    assert [(failure.row, failure.code, failure.batched) for failure in target.failures] == [
        (refused[0], code, False),
        (refused[2], code, False),
    ]
    assert "'gone'" in target.failures[0].message
    assert target.outstanding == 1


def test_a_lane_stops_before_a_topic_that_is_being_checked_and_then_goes_on() -> None:
    room, target = Room(), lane()
    rows = [row(), row(topic="new"), row()]
    assert not room.publish(target, *rows)
    assert len(room.outlet.sent) == 1
    assert (target.topic_wait, target.cursor) == ("new", rows[0][6])
    room.publisher.resume([target])
    assert target.topic_wait
    room.topics.states["new"] = TopicState.OK
    room.publisher.resume([target, lane("other")])
    assert room.publish(target, *rows[1:])


def test_one_lanes_unknown_topic_does_not_stop_another_lane() -> None:
    room = Room()
    assert not room.publish(lane("a"), row(topic="new"))
    assert room.publish(lane("b"), row())


# What `produce` raises


def test_a_full_queue_is_waited_for() -> None:
    room, target = Room(room=10), lane()
    rows = [row("a") for _ in range(35)]
    assert room.publish(target, *rows)
    assert len(room.outlet.sent) == 35
    assert room.outlet.polls == 3
    assert target.outstanding == 5
    assert target.ids == [each[ID] for each in rows[:30]]


def test_a_queue_that_stays_full_is_left_after_a_moment_for_the_rest_of_the_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What fills it may be stuck, and the lanes of other producers are not."""
    monkeypatch.setattr(publish, "FULL_SECONDS", 0.01)
    room = Room(room=0)
    assert not room.publish(lane("a"), row())
    polls = room.outlet.polls
    assert not room.publish(lane("b"), row())
    assert room.outlet.polls == polls
    room.publisher.start_round(events=5_000)
    assert not room.publish(lane("b"), row())
    assert room.outlet.polls > polls


def test_a_queue_that_stays_full_is_left_at_the_end_of_the_lease() -> None:
    room, target = Room(room=0), lane(deadline=time.monotonic() + 0.02)
    assert not room.publish(target, row(), row())
    assert (target.cursor, target.outstanding, target.failures) == (0, 0, [])


def test_a_key_that_fails_while_the_queue_is_full_is_held() -> None:
    room, target = Room(room=1), lane()
    first, second, third = row("a"), row("a"), row("b")
    room.outlet.fails[first[ID]] = KafkaError(KafkaError._MSG_TIMED_OUT)
    assert room.publish(target, first, second, third)
    assert room.keys == ["acme:a", "acme:b"]
    assert target.rewind_to == first[6]


def test_a_retry_that_finds_the_queue_full_still_goes_alone() -> None:
    room, target = Room(room=1), lane()
    room.publish(target, row("b"), row("a", attempts=1), row("a"))
    assert room.keys == ["acme:b", "acme:a"]


def test_headers_survive_a_full_queue() -> None:
    room, target = Room(room=1), lane()
    room.publish(target, row(), row(headers='{"source": "shop"}'))
    assert room.outlet.sent[1][3]["source"] == "shop"


@pytest.mark.parametrize("plain", [True, False])
def test_an_event_that_produce_refuses_fails_alone(plain: bool) -> None:
    room, target = Room(), lane()
    large, after, other = row("a", headers=None if plain else '{"x": "y"}'), row("a"), row("b")
    room.outlet.refuses[large[ID]] = error(KafkaError.MSG_SIZE_TOO_LARGE)
    assert room.publish(target, large, after, other)
    assert room.keys == ["acme:b"]
    assert [(failure.code, failure.batched) for failure in target.failures] == [(KafkaError.MSG_SIZE_TOO_LARGE, False)]
    assert target.outstanding == 1


def test_an_event_refused_while_the_queue_was_full_fails_as_well() -> None:
    room, target = Room(room=1), lane()
    first, second = row(), row()
    room.publish(target, first)
    room.outlet.refuses[second[ID]] = error(KafkaError.MSG_SIZE_TOO_LARGE)
    assert room.publish(target, second)
    assert [failure.row for failure in target.failures] == [second]


def test_a_topic_that_produce_refuses_is_asked_for_again() -> None:
    room, refused = Room(), row()
    room.outlet.refuses[refused[ID]] = error(KafkaError._UNKNOWN_TOPIC)
    room.publish(lane(), refused)
    assert room.topics.forgotten == ["news"]


def test_a_producer_that_cannot_go_on_ends_the_round() -> None:
    room, target, doomed = Room(), lane(), row()
    room.outlet.refuses[doomed[ID]] = error(KafkaError._FATAL)
    room.outlet.fatal = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    with pytest.raises(ProducerLost):
        room.publish(target, row(), doomed)
    assert target.outstanding == 1


@pytest.mark.parametrize("headers", ['{"a": 1}', '["a"]', '"a"', "null", "{"])
def test_headers_that_no_message_can_carry_condemn_the_event_alone(headers: str) -> None:
    room, target = Room(), lane()
    assert room.publish(target, row("a", headers=headers), row("b"))
    assert [failure.code for failure in target.failures] == [SERIALISATION]
    assert room.keys == ["acme:b"]


# Size


def test_large_payloads_are_read_in_groups_when_it_is_their_turn() -> None:
    room = Room()
    rows = [row(payload=None, size=9_000) for _ in range(5)]
    room.payloads = {each[ID]: f'"{each[ID]}"' for each in rows}
    assert room.publish(lane(), *rows)
    assert [len(group) for group in room.loads] == [2, 2, 1]
    assert room.values == [f'"{each[ID]}"' for each in rows]


def test_a_large_event_that_is_no_longer_pending_is_passed_over() -> None:
    room, gone, there = Room(), row(payload=None), row(payload=None)
    room.payloads = {there[ID]: '"there"'}
    assert room.publish(lane(), gone, there)
    assert room.values == ['"there"']


def test_a_round_is_bounded_in_events_over_all_lanes() -> None:
    room, first, second = Room(most_events=CHUNK + 10), lane("a"), lane("b")
    rows = [row() for _ in range(CHUNK + 20)]
    assert not room.publish(first, *rows)
    assert len(room.outlet.sent) == CHUNK + 10
    assert first.cursor_id == rows[CHUNK + 9][ID]
    assert not room.publish(second, row())
    assert second.cursor == 0
    room.publisher.start_round(events=5_000)
    assert room.publish(first, *rows[CHUNK + 10 :])
    assert room.publish(second, row())


def test_a_full_round_has_room_for_lanes_that_wake_up_beside_it() -> None:
    room, first, second = Room(most_events=3), lane("a"), lane("b")
    assert not room.publish(first, *[row() for _ in range(5)])
    room.publisher.extend_round(2)
    assert not room.publish(second, *[row() for _ in range(3)])
    assert (len(room.outlet.sent), second.outstanding) == (5, 2)
    room.publisher.start_round(events=3)
    assert not room.publish(second, *[row() for _ in range(4)])
    assert len(room.outlet.sent) == 8


def test_a_round_is_bounded_in_bytes_over_all_lanes() -> None:
    room = Room(most_bytes=1_000_000)
    first, second = lane("a"), lane("b")
    assert not room.publish(first, *[row(size=9_000) for _ in range(CHUNK)])
    assert len(room.outlet.sent) == 112
    assert not room.publish(second, row())
    assert second.cursor == 0
    room.publisher.start_round(events=5_000)
    assert room.publish(second, row())


def test_an_event_larger_than_a_round_is_sent_all_the_same() -> None:
    room = Room(most_bytes=1_000)
    large = [row(size=9_000) for _ in range(2)]
    assert not room.publish(lane(), *large)
    assert len(room.outlet.sent) == 1


# Charges


def test_a_lane_is_charged_for_what_it_sends_by_size() -> None:
    room, target = Room(), lane(weight=2.0)
    room.publish(target, row(size=100), row(size=100))
    assert target.virtual_time == 1.0
    room.publish(target, row(size=8_192), row(size=100))
    assert target.virtual_time == 2.5


def test_events_that_only_wait_do_not_use_up_the_rate() -> None:
    room, target = Room(gone=TopicState.MISSING), lane(rate=10.0)
    room.publish(target, row("a", attempts=-1, payload=None), row(topic="gone"))
    assert target.allowance(NOW_US) == 3
    room.publish(target, row("b"), row("a", attempts=-1, payload=None))
    assert target.allowance(NOW_US) == 2
