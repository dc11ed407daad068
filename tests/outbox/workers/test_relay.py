from __future__ import annotations

from pathlib import Path

import pytest

from outbox.relay.supervisor import Summary, Supervisor
from outbox.workers.relay import WorkerRelay
from outbox.workers.slots import HostSlots


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Filled when a relay would have run."""
    found: list[bool] = []

    def run(self: Supervisor, *, until_empty: bool = False) -> Summary:
        found.append(True)
        return self.summary()

    monkeypatch.setattr(Supervisor, "run", run)
    return found


def slots(directory: Path, *, limit: int) -> HostSlots:
    return HostSlots(limit=limit, purpose="relays", directory=directory / "slots")


def test_without_a_limit_a_worker_runs_a_relay(ran: list[bool]) -> None:
    WorkerRelay(None).run()
    assert ran


def test_with_a_slot_a_worker_runs_a_relay(ran: list[bool], tmp_path: Path) -> None:
    WorkerRelay(slots(tmp_path, limit=1)).run()
    assert ran


def test_a_worker_that_waits_for_a_slot_can_be_stopped(ran: list[bool], tmp_path: Path) -> None:
    relay = WorkerRelay(slots(tmp_path, limit=0))
    relay.start()
    relay.drain()
    assert not relay.is_alive()
    assert not ran


def test_without_a_safe_place_for_slots_a_worker_runs_no_relay_and_says_so(
    ran: list[bool], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "slots").symlink_to(tmp_path)
    WorkerRelay(slots(tmp_path, limit=1)).run()
    assert not ran
    assert "This worker runs no relay" in caplog.text


def test_a_drain_that_hangs_is_an_error_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(WorkerRelay, "stop_and_join", lambda self: False)
    WorkerRelay(None).drain()
    assert "did not drain within 13 s" in caplog.text
