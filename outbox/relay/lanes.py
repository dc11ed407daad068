"""A lane as the relay that holds it sees it: where it reads, what is under way, what has been reported."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import KafkaError

from outbox.relay.circuit import LaneCircuit
from outbox.relay.spans import Span, split

if TYPE_CHECKING:
    from confluent_kafka import Message

    from outbox.kafka.producer import Sender
    from outbox.relay.late import Sample

Row = tuple[Any, ...]
"""What fetch.sql returns; the positions are below."""
N, ID, TOPIC, DEDUPE_KEY, PARTITION_KEY, PAYLOAD, CREATED, ATTEMPTS, HEADERS, BYTES = range(10)

UNLIMITED = float("inf")
LASTING_SECONDS = 0.5
"""A lane that was not read to its end for so long has a backlog that lasts."""
TOLERANCE_US = 200_000
"""For how long, in microseconds, a lane with a rate may be left alone before it loses what its rate lets it."""
NO_OFFSET: int = KafkaError.DUPLICATE_SEQUENCE_NUMBER


class Failure(NamedTuple):
    """A failed attempt, as reported."""

    row: Row
    code: int
    message: str
    batched: bool
    """Whether other events may have shared the batch that failed."""


class Lane:
    """State of one held lane. Lives in the relay's thread; delivery callbacks run in it too, out of `poll`."""

    __slots__ = (
        "batch_quota",
        "block_changes",
        "blocked",
        "capped",
        "chunks",
        "circuit",
        "claimed_at",
        "constant_headers",
        "cost",
        "counted",
        "cursor",
        "cursor_id",
        "deadline",
        "failures",
        "filling_since",
        "held_keys",
        "hungry",
        "idle",
        "ids",
        "in_round",
        "isolated",
        "laden",
        "laden_until",
        "leaving",
        "looked",
        "offsets",
        "outstanding",
        "partitions",
        "paused",
        "predicted",
        "produced_at",
        "rate",
        "rate_clock",
        "renewing",
        "rest_until",
        "rests",
        "rewind_to",
        "row_floor",
        "safe",
        "sender",
        "settled_to",
        "settles",
        "settling",
        "shared",
        "spans",
        "suspect_until",
        "tenant",
        "token",
        "told_at",
        "topic_wait",
        "touched_at",
        "virtual_time",
        "weight",
        "woken",
    )

    def __init__(
        self,
        *,
        tenant: str,
        token: int,
        virtual_time: float,
        floor: int,
        now: float,
        deadline: float,
        had_work: bool = False,
    ) -> None:
        self.tenant = tenant
        self.token = token
        self.virtual_time = virtual_time
        self.row_floor = floor
        """What stands in the lane's row, unless somebody has lowered it: once the renewal under way is written."""
        self.renewing = False
        self.claimed_at = now
        self.touched_at = now
        self.told_at = now
        """When a wake-up last told of it, or it was claimed."""
        self.filling_since = now
        """Since when no read has come to its end; infinite after one that did."""
        self.deadline = deadline
        self.weight = 1.0
        self.rate: float | None = None
        self.rate_clock: int | None = None
        self.batch_quota: int | None = None
        self.paused = False
        self.circuit = LaneCircuit()
        self.cost = 1.0
        self.cursor = floor
        self.cursor_id = 0
        self.safe = floor
        self.looked: Sample | None = None
        self.rewind_to: int | None = None
        self.predicted = UNLIMITED
        self.hungry = True
        self.woken = True
        self.idle = False
        self.capped = False
        self.in_round = False
        self.leaving = False
        self.shared = False
        """Whether it leaves because other relays hold too few."""
        self.counted = had_work
        """Whether its backlog has lasted, or was left when it was claimed, and no read has come to its end since."""
        self.laden = False
        """Whether it has a backlog that lasts, or had one a moment ago."""
        self.laden_until = float("-inf")
        self.topic_wait: str | None = None
        self.blocked = False
        self.block_changes = 0
        self.held_keys: set[str] = set()
        self.constant_headers: Any = None
        self.sender: Sender | None = None
        self.suspect_until = 0.0
        self.rest_until = 0.0
        self.rests = 0
        self.isolated = False
        self.produced_at = 0.0
        self.outstanding = 0
        self.settling = 0
        self.settles: deque[tuple[int | None, int]] = deque()
        """Of each settle under way: up to where everything is settled with it, and how many chunks are done."""
        self.settled_to = floor
        self.chunks: list[list[Row]] = []
        self.spans: list[Span] = []
        self.ids: list[int] = []
        self.partitions: list[int] = []
        self.offsets: list[int] = []
        self.failures: list[Failure] = []

    # delivery reports

    def report(self, row: Row, error: KafkaError | None, message: Message) -> None:
        """The delivery callback. The lists are looked up now: those of the last settle belong to its thread."""
        self.outstanding -= 1
        if error is None:
            offset = message.offset()
            if offset is None:
                # librdkafka takes "duplicate sequence number" for a delivery. The event may be on no topic.
                self.fail(row, NO_OFFSET, "acknowledged as a repetition, without an offset")
                return
            self.ids.append(row[1])
            self.partitions.append(message.partition())  # type: ignore[arg-type]  # a delivered message has one
            self.offsets.append(offset)
        else:
            self.fail(row, error.code(), error.str(), batched=not self.isolated)

    def fail(self, row: Row, code: int, message: str, *, batched: bool = False) -> None:
        """Nothing later of the key is produced until the lane has settled and looked again from here."""
        self.failures.append(Failure(row, code, message, batched))
        self.hold_key(row)

    def hold_key(self, row: Row) -> None:
        if row[PARTITION_KEY]:
            self.held_keys.add(row[PARTITION_KEY])
        self.rewind(row[CREATED])

    def take_spans(self, acknowledged: int) -> list[Span]:
        """When about so many events were created: those that were produced first."""
        taken, left = split(self.spans, acknowledged)
        # What has been reported and not acknowledged has failed.
        self.spans = left if self.outstanding else []
        return taken

    # settling

    def begin_settle(self) -> None:
        """What has been reported goes into a settle; unless reports are missing, that is everything produced."""
        self.settling += 1
        if self.outstanding or self.in_round:
            self.settles.append((None, 0))
        else:
            self.settles.append((self.cursor, len(self.chunks) - sum(chunks for _, chunks in self.settles)))

    def end_settle(self) -> None:
        """The earliest has committed."""
        self.settling -= 1
        to, chunks = self.settles.popleft()
        if to is not None:
            self.settled_to = to
        del self.chunks[:chunks]

    def lower_floor(self, to: int) -> None:
        """What is produced now was created so early. A settle that began before does not settle it."""
        self.settled_to = min(self.settled_to, to)
        self.settles = deque((at if at is None else min(at, to), chunks) for at, chunks in self.settles)

    def under_way(self) -> set[int]:
        """Events that are produced, or passed over on purpose, and may still be pending in the database."""
        return {row[ID] for chunk in self.chunks for row in chunk}

    # where to read

    def rewind(self, to: int, *, predicted: float = UNLIMITED) -> None:
        """Read again from `to` (inclusive) as soon as nothing of this lane is under way."""
        self.rewind_to = to if self.rewind_to is None else min(self.rewind_to, to)
        if not self.hungry:
            self.hungry, self.predicted = True, predicted

    @property
    def clean(self) -> bool:
        """What was read is produced, reported and settled: reading again finds nothing twice and leaves nothing out."""
        return not (self.in_round or self.outstanding or self.settling or self.ids or self.failures)

    def apply_rewind(self) -> None:
        if self.rewind_to is not None and self.clean:
            if self.rewind_to <= self.cursor:
                self.cursor, self.cursor_id = self.rewind_to, 0
                self.settled_to = min(self.settled_to, self.rewind_to)
            self.rewind_to = None
            self.held_keys.clear()
            self.chunks.clear()

    def notice_floor(self, floor: int) -> None:
        """What stands in the lane's row. If somebody may have lowered it, the lane has to go back.

        During a renewal a floor from before it says nothing: it may have been raised, and lowered to there once more.
        """
        if floor != self.row_floor:
            self.rewind(floor)
        if not self.renewing:
            self.row_floor = floor

    @property
    def floor(self) -> int:
        """Nothing pending was created before, nor can it still become visible: where a next holder must start.

        What is produced and not settled counts as pending, for this relay may die now.
        """
        return self.floor_once_settled_to(self.settled_to)

    def floor_once_settled_to(self, settled_to: int) -> int:
        floor = min(self.safe, settled_to)
        return floor if self.rewind_to is None else min(floor, self.rewind_to)

    def has_looked(self, sample: Sample) -> None:
        """Nothing visible at the sample lies behind the cursor, unless it is under way. So before a first fetch."""
        self.looked, self.safe = sample, sample.safe

    def look_again(self) -> None:
        """There may be something, though nothing says so."""
        if not self.hungry:
            self.hungry, self.predicted = True, 1

    @property
    def expects_work(self) -> bool:
        """Something is left, as far as is known. A look for what nobody told of is no sign of it."""
        return self.hungry and (self.woken or self.predicted > 1 or self.rewind_to is not None)

    @property
    def backlogged(self) -> bool:
        """It has more than one round takes, and nothing of its own keeps it back: a measure of who is least served."""
        return self.predicted > 1 and not self.idle and not self.isolated and self.topic_wait is None

    def was_read(self, now: float, *, dry: bool) -> None:
        """To its end or not."""
        if dry:
            self.idle, self.capped, self.counted = True, False, False
            self.predicted, self.filling_since = 1, UNLIMITED
            self.hungry = self.woken or self.rewind_to is not None
        else:
            self.predicted, self.filling_since = UNLIMITED, min(self.filling_since, now)
            if self.capped:
                # What its limit allowed was all that it was to have.
                self.counted, self.filling_since = False, now

    def has_backlog(self, now: float) -> bool:
        """One that lasts: a few events that came at once are none."""
        return self.backlogged and now - self.filling_since > LASTING_SECONDS

    @property
    def may_have_backlog(self) -> bool:
        """One that has lasted, or that was left when it was claimed."""
        return self.backlogged and self.counted

    def wake(self, now: float) -> None:
        self.woken, self.told_at = True, now
        self.look_again()

    # what it may send

    def may_fetch(self, now: float) -> bool:
        return (
            self.hungry
            and not self.in_round
            and not self.outstanding
            and not self.leaving
            and not self.paused
            and self.circuit.may_send
            and self.topic_wait is None
            and self.rewind_to is None
            and self.rest_until <= now < self.deadline
        )

    def rest(self, now: float) -> None:
        """After a failure that is nobody's fault: try again, but not in a tight loop."""
        self.rest_until = now + min(2.0, 0.02 * 2.0 ** min(self.rests, 10))
        self.rests += 1

    def allowance(self, now_us: int) -> float:
        """Events that rate and quota let through now.

        Generic cell rate algorithm (ITU-T I.371), with a tolerance of one event and some time: rounds come irregularly.
        """
        most = self.circuit.most()
        if self.batch_quota is not None:
            most = min(most, self.batch_quota)
        if self.rate is None:
            return most
        unused = now_us - self._rate_used_up_to(now_us, self.rate)
        return min(most, max(0.0, unused * self.rate // 1e6))

    def charge(self, *, events: int, sent: int, cost: float, now_us: int) -> None:
        """Accounts for what was read, in virtual time and mean cost, and for what of it was sent, in the rate."""
        self.virtual_time += cost / self.weight
        self.cost += 0.3 * (cost / events - self.cost)
        if self.rate is not None:
            self.rate_clock = self._rate_used_up_to(now_us, self.rate) + int(sent * 1e6 / self.rate)

    def _rate_used_up_to(self, now_us: int, rate: float) -> int:
        earliest = now_us - TOLERANCE_US - int(1e6 / rate) - 1
        return earliest if self.rate_clock is None else max(self.rate_clock, earliest)
