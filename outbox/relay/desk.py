"""Where a relay has dealings with circuits: a thread of its own, so that neither a round nor a settle waits for them.

It exists from the first failure on. A database of circuits that does not answer stops nothing: outcomes are lost, leave
is given, and one warning is logged by the circuits themselves.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil
from queue import Empty, SimpleQueue

from circuits import api
from circuits.api import CircuitOpen, Outcome, OutcomeKind
from outbox.relay.circuit import NAME
from outbox.relay.settle import CircuitReport

logger = logging.getLogger("outbox.relay")

AGAIN_SECONDS = 5.0
"""How often a relay says that the broker is still gone."""
MOST_CALLS = 200
"""A settle says no more than this of one circuit whose rate of failures counts; the rate is kept."""
NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """The answer to `ask`."""

    tenant: str
    token: int
    granted: bool
    epoch: int = 0
    probe: bool = False


class Desk:
    """Does what it is told in that order. `wake` is called when there is an answer."""

    def __init__(self, *, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._answers: deque[Leave] = deque()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._gone = False

    def tell(self, reports: list[CircuitReport]) -> None:
        """How calls ended; from any thread."""
        self._put(lambda: self._record(reports))

    def ask(self, *, tenant: str, token: int) -> None:
        """For leave to send one event of a tenant whose circuit is half-open."""
        self._put(lambda: self._acquire(tenant, token))

    def broker(self, *, gone: bool) -> None:
        """What a metadata probe has found: the circuit of all tenants opens or closes."""
        self._put(lambda: self._found(gone))

    def answers(self) -> list[Leave]:
        """Those since the last call."""
        found = []
        while self._answers:
            found.append(self._answers.popleft())
        return found

    def close(self) -> None:
        """Ends the thread once it has done what it was told."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join(timeout=10)

    def abandon(self) -> None:
        """The same without waiting for it."""
        if self._thread is not None:
            self._jobs.put(None)

    def _put(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="outbox-circuits", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=AGAIN_SECONDS if self._gone else None)
                if job is None:
                    return
                job()
            except Empty:
                self._found_still_gone()
            except Exception:
                # A circuit that cannot be told must not end the relay, nor the thread that others wait for.
                logger.exception("A circuit could not be told what happened.")

    def _record(self, reports: list[CircuitReport]) -> None:
        api.record_many(outcome for report in reports for outcome in outcomes(report, in_a_row=_in_a_row(report)))

    def _acquire(self, tenant: str, token: int) -> None:
        leave = Leave(tenant=tenant, token=token, granted=False)
        try:
            permit = api.acquire(tenant_id=tenant, name=NAME, fresh=True)
            leave = Leave(tenant=tenant, token=token, granted=True, epoch=permit.epoch, probe=permit.probe)
        except CircuitOpen:
            logger.debug("The circuit of %s is open again, or somebody else has the probe.", tenant)
        finally:
            self._answers.append(leave)
            self._wake()

    def _found(self, gone: bool) -> None:
        self._gone = gone
        api.found(tenant_id=api.EVERY_TENANT, name=NAME, well=not gone, error_code=NO_ANSWER if gone else "")

    def _found_still_gone(self) -> None:
        try:
            api.found(tenant_id=api.EVERY_TENANT, name=NAME, well=False, still=True, error_code=NO_ANSWER)
        except Exception:
            logger.exception("The circuit of all tenants could not be told that the broker is gone.")


def outcomes(report: CircuitReport, *, in_a_row: bool) -> Iterable[Outcome]:
    """What one settle says of one circuit. A tenant of which something is acknowledged does not fail in a row."""
    if report.probe:
        return [_outcome(report, _verdict(report))]
    failed, succeeded = report.failed, report.acknowledged
    if in_a_row:
        failed, succeeded = (failed, 0) if not succeeded else ([], 1)
    part = min(1.0, MOST_CALLS / max(1, len(failed) + succeeded))
    told = [_outcome(report, OutcomeKind.FAILED, code) for code in failed[: ceil(len(failed) * part)]]
    return told + [_outcome(report, OutcomeKind.SUCCEEDED)] * int(succeeded * part)


def _in_a_row(report: CircuitReport) -> bool:
    return report.probe or api.counts_in_a_row(tenant_id=report.tenant, name=NAME)


def _verdict(report: CircuitReport) -> OutcomeKind:
    if report.failed:
        return OutcomeKind.FAILED
    return OutcomeKind.SUCCEEDED if report.acknowledged else OutcomeKind.IGNORED


def _outcome(report: CircuitReport, kind: OutcomeKind, code: str = "") -> Outcome:
    code = code or next(iter(report.failed), "")
    return Outcome(
        tenant_id=report.tenant,
        name=NAME,
        outcome=kind,
        epoch=report.epoch,
        error_code=code if kind is OutcomeKind.FAILED else "",
        probe=report.probe,
    )
