import logging

import pytest

from outbox.kafka.logs import QUIET_SECONDS, ClientLog


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_is_passed_on_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    log = ClientLog({"sasl.password": "hunter2"})
    log.log(logging.ERROR, "%s [%s] %s", "FAIL", "client-1", "cannot log in with hunter2")
    assert caplog.record_tuples == [("outbox.kafka", logging.ERROR, "FAIL [client-1] cannot log in with ***")]


def test_lines_of_one_kind_are_counted_after_the_first(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = ClientLog({}, clock=clock)
    for _ in range(5):
        log.log(logging.ERROR, "%s: down", "FAIL")
    clock.now += QUIET_SECONDS
    log.log(logging.ERROR, "%s: down", "FAIL")
    assert caplog.messages == ["FAIL: down", "FAIL: down (4 more like this before)"]


def test_another_kind_is_written_at_once(caplog: pytest.LogCaptureFixture) -> None:
    log = ClientLog({}, clock=Clock())
    log.log(logging.ERROR, "%s", "FAIL")
    log.log(logging.ERROR, "%s", "GETPID")
    assert caplog.messages == ["FAIL", "GETPID"]


def test_a_listener_hears_every_line(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    log = ClientLog({}, heard=heard.append, clock=Clock())
    log.log(logging.INFO, "%s", "FAIL")
    log.log(logging.INFO, "%s", "FAIL")
    assert heard == ["FAIL", "FAIL"]


def test_a_line_that_cannot_be_written_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ClientLog({}).log(logging.ERROR, "%s and %s", "one argument")
    assert caplog.messages == ["A line of librdkafka's log was lost."]
