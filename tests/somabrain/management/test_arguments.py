"""Commands refuse numbers that mean nothing before they start anything."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

SECONDS = "no number of seconds from 0 to 3_153_600_000"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--port", "99999"], "argument --port: '99999' is no TCP port from 0 to 65535"),
        (["demo", "--port", "-1"], "argument --port: '-1' is no TCP port"),
        (["demo", "--refuse-seconds", "nan"], f"argument --refuse-seconds: 'nan' is {SECONDS}"),
        (["kafka", "--port", "99999"], "argument --port: '99999' is no TCP port"),
        (["kafka", "--refuse-seconds", "1e30"], f"argument --refuse-seconds: '1e30' is {SECONDS}"),
        (["mock_broker", "--brokers", "0"], "argument --brokers: '0' is no positive whole number"),
        (["mock_broker", "--brokers", "101"], "argument --brokers: '101' is above 100"),
        (["mock_broker", "--refuse-seconds", "-1"], f"argument --refuse-seconds: '-1' is {SECONDS}"),
        (["memory", "replay", "--patience", "inf"], f"argument --patience: 'inf' is {SECONDS}"),
        (["memory", "replay", "--threads", "1001"], "argument --threads: '1001' is above 1_000"),
        (["outbox", "relay", "--patience", "nan"], f"argument --patience: 'nan' is {SECONDS}"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command(*words)
    assert said in str(refusal.value)
