import logging
from typing import Any

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
        log.log(logging.ERROR, "%s [%s] %s", "FAIL", "c", "down")
    clock.now += QUIET_SECONDS
    log.log(logging.ERROR, "%s [%s] %s", "FAIL", "c", "down")
    assert caplog.messages == ["FAIL [c] down", "FAIL [c] down (4 more like this before)"]


def test_another_kind_is_written_at_once(caplog: pytest.LogCaptureFixture) -> None:
    log = ClientLog({}, clock=Clock())
    log.log(logging.ERROR, "%s [%s] %s", "FAIL", "c", "down")
    log.log(logging.ERROR, "%s [%s] %s", "GETPID", "c", "no id")
    assert caplog.messages == ["FAIL [c] down", "GETPID [c] no id"]


@pytest.mark.parametrize(
    ("config", "written"),
    [
        ({}, [logging.INFO, logging.ERROR]),
        ({"log_level": "3"}, [logging.ERROR]),
        ({"log_level": 0}, []),
        ({"log_level": 7}, [logging.DEBUG, logging.INFO, logging.ERROR]),
        ({"debug": "broker"}, [logging.DEBUG, logging.INFO, logging.ERROR]),
    ],
)
def test_only_what_the_operator_wants_is_written(
    caplog: pytest.LogCaptureFixture, config: dict[str, Any], written: list[int]
) -> None:
    caplog.set_level(logging.DEBUG, logger="outbox.kafka")
    log = ClientLog(config, clock=Clock())
    for level in (logging.DEBUG, logging.INFO, logging.ERROR):
        log.log(level, "%s [%s] %s", str(level), "c", "text")
    assert [record.levelno for record in caplog.records] == written


def test_a_listener_hears_every_line(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[tuple[str, str]] = []
    log = ClientLog({"log_level": 0}, heard=lambda *line: heard.append(line), clock=Clock())
    log.log(logging.DEBUG, "%s [%s] %s", "GETPID", "c", "an id")
    log.log(logging.DEBUG, "%s [%s] %s", "GETPID", "c", "another")
    assert heard == [("GETPID", "an id"), ("GETPID", "another")]


def test_a_line_that_cannot_be_written_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ClientLog({}).log(logging.ERROR, "%s and %s", "one argument")
    assert caplog.messages == ["A line of librdkafka's log was lost."]
