"""What is said in words: thresholds, and what an action changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.template import engines
from django.utils import timezone

from circuits.policy import Mode, Policy
from outbox.console.changes import Change, changes
from outbox.console.thresholds import told


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (
            Policy(),
            "Opens after 5 failures in a row, for 30 s at first, 5 min at most; closes when a probe succeeds.",
        ),
        (
            Policy(failure_threshold=1, reset_interval=60, max_reset_interval=60, half_open_probes=3),
            "Opens after 1 failure, for 1 min; closes when 3 probes succeed.",
        ),
        (
            Policy(mode=Mode.RATE, minimum_calls=1_000, slow_call=2),
            "Opens when 50% of 1,000 calls or more within 1 min failed, for 30 s at first, 5 min at most; closes when "
            "a probe succeeds. Slower than 2 s is a failure.",
        ),
    ],
)
def test_thresholds_are_told_in_a_sentence(policy: Policy, said: str) -> None:
    assert told(policy) == said


def test_only_what_differs_is_a_change() -> None:
    before = {"paused": False, "rate": None, "weight": 1, "paused_by": ""}
    after = {"paused": True, "rate": 5_000, "weight": 1, "paused_by": "ann"}
    assert changes(before, after) == (
        Change(name="paused", before="no", after="yes"),
        Change(name="rate", before="–", after="5,000"),  # noqa: RUF001
        Change(name="paused by", before="–", after="ann"),  # noqa: RUF001
    )


def test_lists_are_left_to_the_actions_own_page() -> None:
    assert changes({"ids": {"failed": [1, 2]}}, {"ids": {"pending": [1, 2]}}) == ()
    assert changes(None, None) == ()
    assert changes({"weight": 2}, None) == (Change(name="weight", before="2", after="–"),)  # noqa: RUF001


def test_times_that_were_recorded_are_told_as_times() -> None:
    (change,) = changes({"paused_until": None}, {"paused_until": "2026-01-02T03:04:05.678Z"})
    assert change.after.startswith('<time datetime="2026-01-02T03:04:05+00:00" data-clock="second"')
    assert changes(None, {"until": "2026-01-02T03:04 <b>"})[0].after == "2026-01-02T03:04 <b>"


def written(text: str, **context: object) -> str:
    return str(engines["django"].from_string("{% load outbox_console %}" + text).render(context))


def test_a_time_has_its_age_beside_it_and_is_for_programs_too() -> None:
    now = timezone.now()
    at = now - timedelta(hours=3, minutes=12, seconds=30)
    page = written("{{ at|moment }}", at=at)
    assert "(3 h 12 min ago)" in page
    assert f'title="{timezone.localtime(at):%Y-%m-%d}' in page
    assert "(in 59 min" in written("{{ at|moment }}", at=now + timedelta(hours=1))
    assert f"{now - timedelta(days=400):%Y-%m-%d}" in written("{{ at|clock }}", at=now - timedelta(days=400))


def test_what_there_is_not_is_a_dash() -> None:
    filters = ("figure", "percent", "span", "age", "moment", "clock", "ahead")
    page = written("".join(f"{{{{ n|{name} }}}}" for name in filters), n=None)
    assert page == "–" * 6  # noqa: RUF001


@pytest.mark.parametrize(
    ("state", "words"), [("half_open", "half open"), ("paused", "paused"), ("<new>", "&lt;new&gt;")]
)
def test_a_state_is_a_word_and_not_a_colour_alone(state: str, words: str) -> None:
    assert words in written("{% badge state %}", state=state)
