"""Producing a lane's events: the hot path. About two microseconds of Python an event, and every line was measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import accumulate
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from outbox.errors import ProducerLost
from outbox.kafka.message import EPOCH_OFFSET, constant_headers, event_headers, message_key
from outbox.kafka.producer import Sender
from outbox.kafka.topics import TopicDirectory, TopicState
from outbox.relay.circuit import Probe
from outbox.relay.failures import SERIALISATION
from outbox.relay.fairness import PAGE_BYTES, cost_of
from outbox.relay.lanes import (
    ATTEMPTS,
    BYTES,
    CREATED,
    DEDUPE_KEY,
    HEADERS,
    ID,
    PARTITION_KEY,
    PAYLOAD,
    TOPIC,
    Lane,
    Row,
)

CHUNK = 256
"""Events produced between two looks at the clock, the delivery reports and the wake-ups."""

FULL_SECONDS = 0.25
"""How long a full queue is waited for, once a round: what fills it may be stuck, and other lanes are not."""

_REFUSED = {
    TopicState.MISSING: (KafkaError.UNKNOWN_TOPIC_OR_PART, "the broker has no topic {topic!r}"),
    TopicState.FORBIDDEN: (KafkaError.TOPIC_AUTHORIZATION_FAILED, "not allowed to write to topic {topic!r}"),
}


class Publisher:
    """Hands rows of a lane to a producer, in order, as far as that is allowed now."""

    def __init__(
        self,
        *,
        topics: TopicDirectory,
        between: Callable[[], None],
        load: Callable[[list[Row]], dict[int, str]],
        most_bytes: int,
    ) -> None:
        self._topics = topics
        self._between = between
        self._load = load
        self._most_bytes = most_bytes
        self._since = 0
        self._events_left = 0
        self._bytes_left = most_bytes
        self._full: set[Sender] = set()
        self._loaded: dict[int, str] = {}

    def start_round(self, *, events: int) -> None:
        """One that may have so many."""
        self._events_left = events
        self._bytes_left = self._most_bytes
        self._full.clear()

    def extend_round(self, events: int) -> None:
        self._events_left = max(0, self._events_left) + events

    def resume(self, lanes: Iterable[Lane]) -> None:
        """Lanes that stopped before a topic go on once it has been checked."""
        for lane in lanes:
            if lane.topic_wait is not None and self._topics.state(lane.topic_wait) is not TopicState.CHECKING:
                lane.topic_wait = None

    def publish(self, lane: Lane, rows: list[Row], sender: Sender, *, now_us: int, late: bool = False) -> bool:
        """Produces the rows and moves the lane's cursor past them. False when some were left for later.

        Late ones lie behind the cursor, which stays; but until they are settled the lane's floor is below them.

        Left are those behind a topic that is still being checked, those beyond the round's count or bytes, those for
        which the producer has no room in this round, and all when the lease may have ended or the circuit lets nothing
        through.
        """
        at = 0
        while at < len(rows):
            if time.monotonic() >= lane.deadline or self._events_left <= 0 or self._bytes_left <= 0:
                return False
            if sender in self._full or not lane.circuit.may_send:
                return False
            probing = lane.circuit.probe is Probe.GRANTED
            chunk = self._fitting(rows[at : at + (1 if probing else min(CHUNK, self._events_left))])
            consumed, sent = self._produce(lane, chunk, sender)
            if probing and (sent or lane.failures):
                lane.circuit.probe = Probe.SENT
            if consumed:
                done = chunk if consumed == len(chunk) else chunk[:consumed]
                lane.chunks.append(done)
                if sent:
                    lane.spans.append((done[0][CREATED], done[-1][CREATED], sent))
                if late:
                    lane.lower_floor(done[0][CREATED])
                else:
                    lane.cursor, lane.cursor_id = done[-1][CREATED], done[-1][ID]
                self._account(lane, done, sent, now_us)
            self._since += consumed
            if self._since >= CHUNK:
                self._since = 0
                self._between()
            if consumed < len(chunk):
                return False
            at += consumed
        return True

    def _fitting(self, rows: list[Row]) -> list[Row]:
        """As many as the round has bytes left for, but one."""
        sizes = [row[BYTES] for row in rows]
        if sum(sizes) <= self._bytes_left:
            return rows
        fits = sum(total <= self._bytes_left for total in accumulate(sizes))
        return rows[: max(1, fits)]

    def _account(self, lane: Lane, rows: list[Row], sent: int, now_us: int) -> None:
        sizes = [row[BYTES] for row in rows]
        self._events_left -= len(rows)
        self._bytes_left -= sum(sizes)
        cost = float(len(rows)) if max(sizes) <= PAGE_BYTES else sum(map(cost_of, sizes))
        lane.charge(events=len(rows), sent=sent, cost=cost, now_us=now_us)

    def _produce(self, lane: Lane, rows: list[Row], sender: Sender) -> tuple[int, int]:
        produce = sender.produce
        report = lane.report
        known = self._topics.ok
        held = lane.held_keys
        prefix = lane.tenant + ":"
        if lane.constant_headers is None:
            lane.constant_headers = constant_headers(lane.tenant)
        tenant_header, attempt_header, content_type = lane.constant_headers
        consumed = produced = 0
        lane.sender, lane.produced_at = sender, time.monotonic()
        try:
            for row in rows:
                _, event_id, topic, dedupe_key, key, payload, created, attempts, extra, _ = row
                if attempts or extra or held or payload is None or topic not in known:
                    outcome = self._special(lane, row, rows, consumed, sender)
                    if outcome is None:
                        break
                    produced += outcome
                else:
                    try:
                        produce(
                            topic,
                            payload,
                            prefix + (key or dedupe_key),
                            -1,
                            partial(report, row),
                            None,
                            0,
                            [
                                tenant_header,
                                ("dedupe-key", dedupe_key),
                                ("event-id", str(event_id)),
                                ("event-created-at", str(created + EPOCH_OFFSET)),
                                attempt_header,
                                content_type,
                            ],
                        )
                        produced += 1
                    except (BufferError, KafkaException) as error:
                        outcome = self._retry(lane, row, sender, error, payload, [])
                        if outcome is None:
                            break
                        produced += outcome
                consumed += 1
        finally:
            lane.outstanding += produced
        return consumed, produced

    def _special(self, lane: Lane, row: Row, rows: list[Row], at: int, sender: Sender) -> int | None:
        """Everything that is not the plain case. 1: produced; 0: passed over; None: stop before this row."""
        key = row[PARTITION_KEY]
        if row[ATTEMPTS] < 0:
            return 0
        if key and key in lane.held_keys:
            lane.rewind(row[CREATED])
            return 0
        state = self._topics.state(row[TOPIC])
        if state is TopicState.CHECKING:
            lane.topic_wait = row[TOPIC]
            return None
        if state in _REFUSED:
            code, text = _REFUSED[state]
            lane.fail(row, code, text.format(topic=row[TOPIC]))
            return 0
        payload = row[PAYLOAD] if row[PAYLOAD] is not None else self._large(row, rows, at)
        return 0 if payload is None else self._careful(lane, row, payload, sender)

    def _careful(self, lane: Lane, row: Row, payload: str, sender: Sender) -> int | None:
        try:
            extra = [] if row[HEADERS] is None else list(json.loads(row[HEADERS]).items())
            self._produce_one(lane, row, payload, extra, sender)
        except (TypeError, ValueError, AttributeError) as error:
            # Headers that no API of ours has let through: whoever writes rows by other ways may get them wrong.
            lane.fail(row, SERIALISATION, f"headers must be an object of strings: {error}")
            return 0
        except (BufferError, KafkaException) as error:
            return self._retry(lane, row, sender, error, payload, extra)
        self._hold_if_retry(lane, row)
        return 1

    def _hold_if_retry(self, lane: Lane, row: Row) -> None:
        # An event that failed before goes alone: its successors wait for its report.
        if row[ATTEMPTS] and row[PARTITION_KEY]:
            lane.hold_key(row)

    def _produce_one(self, lane: Lane, row: Row, payload: str, extra: list[Any], sender: Sender) -> None:
        headers = event_headers(lane.constant_headers, row[DEDUPE_KEY], row[ID], row[CREATED], row[ATTEMPTS])
        key = message_key(lane.tenant, row[PARTITION_KEY], row[DEDUPE_KEY])
        sender.produce(row[TOPIC], payload, key, -1, partial(lane.report, row), None, 0, headers + extra)

    def _retry(
        self, lane: Lane, row: Row, sender: Sender, error: BufferError | KafkaException, payload: str, extra: list[Any]
    ) -> int | None:
        """After `produce` raised: a full queue is waited for, anything else is a failed attempt."""
        until = min(lane.deadline, time.monotonic() + FULL_SECONDS)
        while isinstance(error, BufferError):
            if time.monotonic() >= until:
                self._full.add(sender)
                return None
            sender.wait(0.005)
            if row[PARTITION_KEY] in lane.held_keys:
                lane.rewind(row[CREATED])
                return 0
            try:
                self._produce_one(lane, row, payload, extra, sender)
            except (BufferError, KafkaException) as again:
                error = again
            else:
                self._hold_if_retry(lane, row)
                return 1
        return self._refused(lane, row, sender, error)

    def _refused(self, lane: Lane, row: Row, sender: Sender, error: KafkaException) -> int:
        code = sender.note(error)
        if sender.fatal is not None:
            raise ProducerLost(f"The producer cannot go on: {sender.fatal.str()}.") from error
        self._topics.forget(row[TOPIC])
        lane.fail(row, code, error.args[0].str())
        return 0

    def _large(self, row: Row, rows: list[Row], at: int) -> str | None:
        """The payload of an event that came without; loaded a group ahead. None: it is no longer pending."""
        if row[ID] not in self._loaded:
            self._loaded = self._load(rows[at:])
        return self._loaded.pop(row[ID], None)
