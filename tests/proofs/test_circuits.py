"""Circuits that many processes share: one probe a cycle, whoever dies, however wrong their clocks are."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from circuits.models import CircuitTransition, TenantCircuit
from circuits.operations import steering
from circuits.process import process
from somabrain.embedded.leash import Leashed
from tests.proofs.sizes import size
from tests.proofs.verdicts import judge, least, most, none
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

TENANT, NAME = "acme", "memory"
PROCESSES = size(4, 16)


@dataclass(frozen=True)
class Sent:
    """One call that was made."""

    epoch: int
    probe: bool
    at: float


class Caller(Leashed):
    def sent(self) -> list[Sent]:
        lines = [line.split() for line in self._lines() if line.startswith("sent ")]
        return [Sent(int(epoch), probe == "1", float(at)) for _, epoch, probe, at in lines]

    def told(self) -> int:
        return self._lines().count("told")

    def wait_until_ready(self) -> None:
        wait_until(lambda: "ready" in self._lines() or self.returncode is not None, explain=self.log.read_text)

    def _lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()


class Callers:
    """Processes that call, each in its way."""

    def __init__(self, directory: Path, environment: dict[str, str], started: ExitStack) -> None:
        self._directory = directory
        self._environment = {
            **clean_environment(),
            **environment,
            "DJANGO_SETTINGS_MODULE": "somabrain.settings",
            "LOG_LEVEL": "WARNING",
            # Nobody goes on without the database, however busy the machine is.
            "CIRCUITS_LOCK_TIMEOUT": "60",
            "CIRCUITS_STATEMENT_TIMEOUT": "60",
            "CIRCUITS_CONNECT_TIMEOUT": "60",
        }
        self._started = started
        self._stop = directory / "stop"
        self.all: list[Caller] = []

    def start(self, how: str, count: int = 1, *, clock_wrong_by: float = 0) -> list[Caller]:
        new = []
        for _ in range(count):
            log = self._directory / f"{len(self.all)}.log"
            program = [sys.executable, "-m", "tests.proofs.circuit_caller", TENANT, NAME, how, str(self._stop)]
            new.append(Caller([*program, str(clock_wrong_by)], log=log, environment=self._environment))
            self._started.callback(new[-1].kill)
            self.all.append(new[-1])
        for each in new:
            each.wait_until_ready()
        return new

    def stop(self) -> None:
        """Each ends after the call that it is in."""
        self._stop.touch()
        for each in self.all:
            assert each.wait(timeout=60) == 0, each.log.read_text()

    def end_late_ones(self) -> None:
        Path(f"{self._stop}.late").touch()

    def sent(self) -> list[Sent]:
        return sorted((sent for each in self.all for sent in each.sent()), key=lambda sent: sent.at)


@pytest.fixture
def callers(service_environment: dict[str, str], tmp_path: Path) -> Iterator[Callers]:
    with ExitStack() as started:
        yield Callers(tmp_path, service_environment, started)
    process.close()


def half_open_circuit(**thresholds: float) -> None:
    """Open, and its interval is over."""
    TenantCircuit.objects.create(
        tenant_id=TENANT, name=NAME, state="open", epoch=1, trips=1, open_until="2020-01-01T00:00:00Z", **thresholds
    )


def circuit() -> TenantCircuit:
    return TenantCircuit.objects.get()


def moves(to_state: str) -> list[CircuitTransition]:
    return list(CircuitTransition.objects.filter(to_state=to_state).order_by("id"))


@pytest.mark.timeout(900)
def test_b2_one_call_in_each_cycle_whatever_number_of_processes_try(callers: Callers) -> None:
    cycles = size(20, 200)
    half_open_circuit(reset_interval=0.02, max_reset_interval=0.02)
    callers.start("fail", PROCESSES)
    wait_until(lambda: len(moves("half_open")) >= cycles, timeout=600)
    callers.stop()
    begun = {each.epoch for each in moves("half_open")}
    calls = Counter(each.epoch for each in callers.sent())
    judge(
        none("B2", "calls beyond one in a cycle", sum(calls.values()) - len(calls)),
        none("B2", "cycles without a call", len(begun - calls.keys())),
        none("B2", "calls outside of a cycle", len(calls.keys() - begun)),
        least("B2", f"cycles, {PROCESSES} processes", len(begun), cycles, small=cycles),
    )


def test_b3_a_prober_that_is_killed_is_replaced_after_its_lease(callers: Callers) -> None:
    lease = 2.0
    half_open_circuit(probe_lease=lease)
    (dead,) = callers.start("hang")
    wait_until(dead.sent)
    dead.kill()
    over = circuit().probe_until
    assert over is not None
    callers.start("succeed", 2)
    wait_until(lambda: circuit().state == "closed")
    first, second, *_ = callers.sent()
    judge(
        least("B3", "seconds from the end of its lease to the next probe", second.at - over.timestamp(), 0, small=0),
        most("B3", "seconds until the next probe, of a lease of 2", second.at - first.at, lease + 1),
    )


def test_b3_a_probe_that_says_nothing_makes_room_at_once(callers: Callers) -> None:
    half_open_circuit(probe_lease=600)
    callers.start("ignore", 2)
    wait_until(lambda: len(callers.sent()) > 20)
    callers.stop()
    sent = callers.sent()
    judge(
        none("B3", "neutral probes that share an epoch", len(sent) - len({each.epoch for each in sent})),
        none("B3", "states left by neutral probes", len(moves("open")) + len(moves("closed"))),
    )
    assert circuit().state == "half_open"


def test_b3_a_late_success_of_an_old_epoch_closes_nothing(callers: Callers) -> None:
    half_open_circuit(probe_lease=1.0, reset_interval=600, max_reset_interval=600)
    (late,) = callers.start("late")
    wait_until(late.sent)
    callers.start("fail")
    wait_until(lambda: circuit().state == "open")
    callers.end_late_ones()
    wait_until(late.told)
    time.sleep(0.5)
    judge(none("B3", "closings by a late success", len(moves("closed"))))
    assert circuit().state == "open"


@pytest.mark.parametrize("verb", ["force_open", "force_closed"])
def test_b8_what_is_forced_never_moves_by_itself(callers: Callers, verb: str) -> None:
    half_open_circuit(reset_interval=0.05, max_reset_interval=0.05, failure_threshold=1)
    getattr(steering, verb)(tenant_id=TENANT, name=NAME, by="ann", reason="a proof")
    before = circuit()
    for _ in range(size(1, 5)):
        new = [*callers.start("fail", 2), *callers.start("succeed", 1)]
        time.sleep(size(2, 30))
        for each in new:
            each.kill()
    after = circuit()
    calls = len(callers.sent())
    judge(
        none("B8", f"{verb}: moves", CircuitTransition.objects.count() - 1),
        none("B8", f"{verb}: writes", after.revision - before.revision),
        none("B8", "forced open: calls", calls) if verb == "force_open" else least("B8", "calls", calls, 1, small=1),
    )


def test_b9_intervals_double_by_the_clock_of_the_database_alone(callers: Callers) -> None:
    began, (first, longest) = time.time(), (size(1, 4) * 0.25, size(1, 4) * 2.0)
    half_open_circuit(reset_interval=first, max_reset_interval=longest)
    TenantCircuit.objects.update(trips=0)
    for wrong_by in (-300, 0, 300):
        callers.start("fail", clock_wrong_by=wrong_by)
    wait_until(lambda: len(moves("open")) >= 6, timeout=300)
    callers.stop()
    history = list(CircuitTransition.objects.order_by("id").values_list("to_state", "at"))
    # The host's clock is the database's here, and those of two callers are five minutes off.
    strange = [at for _, at in history if not began - 1 < at.timestamp() < time.time() + 1]
    waited = [
        (after - before).total_seconds()
        for (was, before), (became, after) in pairwise(history)
        if (was, became) == ("open", "half_open")
    ]
    wanted = [min(first * 2**number, longest) for number in range(len(waited))]
    assert len(waited) >= 5
    judge(
        none(
            "B9", "intervals cut by more than the jitter", sum(w < 0.9 * f for w, f in zip(waited, wanted, strict=True))
        ),
        most(
            "B9", "seconds beyond an interval", max(w - f for w, f in zip(waited, wanted, strict=True)), 0.25, small=60
        ),
        none("B9", "moments told by a caller's own clock", len(strange)),
    )
