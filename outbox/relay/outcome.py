"""From what lanes have been told to one settle job, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError

from outbox.conf import OutboxSettings
from outbox.relay import backoff
from outbox.relay.blame import may_be_blamed
from outbox.relay.circuit import Probe
from outbox.relay.failures import Disposition, classify, decide, error_class
from outbox.relay.lanes import ATTEMPTS, ID, TOPIC, Failure, Lane
from outbox.relay.settle import Acknowledged, CircuitReport, Failed, LaneState, Settle

MESSAGE_CHARACTERS = 500
ISOLATION_SECONDS = 5.0
"""How long a lane sends one event to a batch after a batch of its was refused, and once more at its rate."""


class Outcomes:
    """Builds settle jobs."""

    def __init__(
        self,
        *,
        settings: OutboxSettings,
        state: Callable[..., LaneState],
        broker_answers: Callable[[float], bool],
        random: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._state = state
        self._broker_answers = broker_answers
        self._random = random
        self._clock = clock

    def job(self, lanes: Iterable[Lane]) -> Settle:
        """Everything reported so far, and the release of the lanes that have nothing more under way."""
        job = Settle()
        for lane in lanes:
            acknowledged = self._add_acknowledged(job, lane)
            self._add_circuit(job, lane, acknowledged, self._add_failures(job, lane))
            # Whoever has asked for leave to send waits for the answer: it has to be given back.
            if lane.leaving and not (lane.outstanding or lane.settling) and lane.circuit.probe is not Probe.ASKED:
                job.released.append(self._release(lane))
                if lane.shared:
                    job.handed_over.append(lane.tenant)
                job.fenced[lane.tenant] = lane.token
            if lane.tenant in job.fenced:
                lane.begin_settle()
        return job

    def _release(self, lane: Lane) -> LaneState:
        floor = lane.floor_once_settled_to(lane.cursor)
        # Behind an open circuit nothing waits for its turn, so no credit is saved up.
        return self._state(lane, floor=floor, has_work=lane.expects_work and not lane.paused and lane.circuit.closed)

    def _add_acknowledged(self, job: Settle, lane: Lane) -> int:
        acknowledged = len(lane.ids)
        spans = lane.take_spans(acknowledged)
        if acknowledged:
            job.acknowledged.append(
                Acknowledged(lane.tenant, lane.token, lane.ids, lane.partitions, lane.offsets, spans)
            )
            job.fenced[lane.tenant] = lane.token
            lane.ids, lane.partitions, lane.offsets = [], [], []
            lane.rests = 0
        return acknowledged

    def _add_failures(self, job: Settle, lane: Lane) -> list[Failed]:
        failures, lane.failures = lane.failures, []
        burned = [failed for failure in failures if (failed := self._failed(lane, failure)) is not None]
        if len(burned) < len(failures):
            lane.rest(self._clock())
        if burned:
            job.failed += burned
            job.fenced[lane.tenant] = lane.token
            lane.blocked = True
            lane.block_changes += 1
        return burned

    def _add_circuit(self, job: Settle, lane: Lane, acknowledged: int, burned: list[Failed]) -> None:
        """A circuit that is closed and has no failures on record is told nothing."""
        circuit = lane.circuit
        report = CircuitReport(lane.tenant, lane.token, circuit.epoch, acknowledged=acknowledged)
        if circuit.probe is not Probe.NONE:
            self._add_probe(job, lane, report, answered=bool(acknowledged or burned))
            return
        suspects = any(event.suspect for event in burned)
        if suspects or (acknowledged and circuit.failing):
            job.reports.append(report)
        if suspects or acknowledged:
            circuit.failing, circuit.doubtful = suspects, suspects and not acknowledged

    def _add_probe(self, job: Settle, lane: Lane, report: CircuitReport, *, answered: bool) -> None:
        if lane.outstanding or lane.circuit.probe not in (Probe.GRANTED, Probe.SENT):
            return
        if answered or lane.leaving:
            report.probe = True
            job.reports.append(report)
            job.fenced[lane.tenant] = lane.token
            lane.circuit.probe = Probe.JUDGED
        else:
            # Nobody's fault: it is sent again with the same leave.
            lane.circuit.probe = Probe.GRANTED

    def _failed(self, lane: Lane, failure: Failure) -> Failed | None:
        """None: nobody's fault, the event stays pending and the lane reads it again."""
        before = failure.row[ATTEMPTS]
        disposition = decide(
            classify(failure.code),
            attempts=before,
            alone=not failure.batched,
            max_attempts=self._settings.max_attempts,
            # From UNKNOWN (-1) on, a code is the broker's own; one of librdkafka says nothing about the broker.
            broker_answered=failure.code >= KafkaError.UNKNOWN or self._broker_answers(lane.produced_at),
        )
        if disposition is Disposition.ISOLATE:
            lane.suspect_until = self._clock() + ISOLATION_SECONDS + (1.0 / lane.rate if lane.rate else 0.0)
        if disposition in (Disposition.NEUTRAL, Disposition.ISOLATE):
            return None
        delay = self._backoff(before + 1) if disposition is Disposition.RETRY else None
        return Failed(
            tenant=lane.tenant,
            event_id=failure.row[ID],
            delay=delay,
            code=failure.code,
            error_class=error_class(failure.code),
            message=failure.message[:MESSAGE_CHARACTERS].replace("\x00", ""),
            topic=failure.row[TOPIC],
            suspect=may_be_blamed(classify(failure.code), disposition),
            spared=not lane.circuit.closed,
        )

    def _backoff(self, attempts: int) -> float:
        settings = self._settings
        return backoff.delay(
            attempts, base=settings.backoff_base_seconds, cap=settings.backoff_max_seconds, random=self._random
        )
