from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from outbox.errors import OutboxError
from outbox.workers.slots import HostSlots

# A fork of this process would share sessions and threads of other tests.
spawn = multiprocessing.get_context("spawn")


def slots(directory: Path, *, limit: int, purpose: str = "relays of a database") -> HostSlots:
    return HostSlots(limit=limit, purpose=purpose, directory=directory / "slots")


class Worker:
    """Takes a slot in a process of its own and keeps it until it is killed."""

    def __init__(self, directory: Path, *, limit: int, purpose: str = "relays of a database") -> None:
        self._pipe, theirs = spawn.Pipe()
        wanted = slots(directory, limit=limit, purpose=purpose)
        self._process = spawn.Process(target=_take_and_wait, args=[wanted, theirs], daemon=True)
        self._process.start()
        self.got_one = self._pipe.recv()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _take_and_wait(of_host: HostSlots, parent: Connection) -> None:
    parent.send(of_host.take())
    parent.recv()


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_as_many_processes_as_the_limit_says_get_a_slot(limit: int, tmp_path: Path) -> None:
    workers = [Worker(tmp_path, limit=limit) for _ in range(3)]
    assert [worker.got_one for worker in workers] == [number < limit for number in range(3)]
    for worker in workers:
        worker.kill()


def test_the_slot_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    holder = Worker(tmp_path, limit=1)
    ours = slots(tmp_path, limit=1)
    assert not ours.take()
    holder.kill()
    assert ours.take()


def test_a_child_does_not_keep_its_parents_slot(tmp_path: Path) -> None:
    ours, theirs = spawn.Pipe()
    parent = spawn.Process(target=_take_and_leave_a_child_behind, args=[slots(tmp_path, limit=1), theirs])
    parent.start()
    child = ours.recv()
    parent.kill()
    parent.join()
    assert slots(tmp_path, limit=1).take()
    os.kill(child, 9)


def _take_and_leave_a_child_behind(of_host: HostSlots, test: Connection) -> None:
    assert of_host.take()
    child = os.fork()
    if child == 0:
        test.recv()
    test.send(child)
    test.recv()


def test_who_has_a_slot_keeps_it(tmp_path: Path) -> None:
    ours = slots(tmp_path, limit=1)
    assert ours.take()
    assert ours.take()
    other = Worker(tmp_path, limit=1)
    assert not other.got_one
    other.kill()


def test_another_purpose_has_slots_of_its_own(tmp_path: Path) -> None:
    ours = slots(tmp_path, limit=1)
    assert ours.take()
    other = Worker(tmp_path, limit=1, purpose="relays of another database")
    assert other.got_one
    other.kill()


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    (tmp_path / "slots").chmod(0o755)
    with pytest.raises(OutboxError, match="not a private directory"):
        slots(tmp_path, limit=1).take()


def test_a_link_to_somewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "slots").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutboxError, match="not a private directory"):
        slots(tmp_path, limit=1).take()


def test_the_directory_is_in_the_users_part_of_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert HostSlots(limit=1, purpose="relays").take()
    (directory,) = tmp_path.iterdir()
    assert directory.name == f"outbox-{os.getuid()}"
    assert directory.stat().st_mode & 0o777 == 0o700
