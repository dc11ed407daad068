from __future__ import annotations

import signal

import pytest

from outbox.models import OutboxEvent
from tests.conftest import StartManage

COUNT = "from outbox.models import OutboxEvent; print('events', OutboxEvent.objects.count())"
SLEEP = "import time; print('up', flush=True); time.sleep(600)"


@pytest.mark.django_db(transaction=True)
def test_a_process_works_on_the_database_of_its_test(start_manage: StartManage) -> None:
    OutboxEvent.objects.create(topic="news", dedupe_key="a", payload={})
    counting = start_manage("shell", "--no-imports", "-c", COUNT)
    assert counting.wait(timeout=60) == 0, counting.output()
    assert "events 1" in counting.output()


def test_the_environment_can_be_added_to(start_manage: StartManage) -> None:
    refused = start_manage("check", env={"OUTBOX_BATCH_SIZE": "many"})
    assert refused.wait(timeout=60) == 1
    assert "OUTBOX_BATCH_SIZE" in refused.output()


def test_its_output_can_be_waited_for_and_it_can_be_killed(start_manage: StartManage) -> None:
    sleeping = start_manage("shell", "--no-imports", "-c", SLEEP)
    sleeping.wait_for_output("up")
    sleeping.send(signal.SIGKILL)
    assert sleeping.wait(timeout=60) == -signal.SIGKILL


def test_waiting_for_a_process_that_has_ended_fails_with_its_output(start_manage: StartManage) -> None:
    failing = start_manage("no-such-command")
    with pytest.raises(AssertionError, match="Unknown command"):
        failing.wait_for_output("up")
