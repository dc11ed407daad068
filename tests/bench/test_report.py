from __future__ import annotations

import json

import pytest

from bench.report import Figure, Limit, as_json, at_least, at_most, table


@pytest.mark.parametrize(
    ("asked", "median", "verdict"),
    [
        (at_least(1.25), 1.25, "met"),
        (at_least(1.25), 1.24, "MISSED"),
        (at_most(60), 60.0, "met"),
        (at_most(60), 60.1, "MISSED"),
        (None, 1.0, ""),
    ],
)
def test_the_median_is_judged(asked: Limit | None, median: float, verdict: str) -> None:
    assert Figure(what="x", samples=[0.0, median, 1e9], asked=asked).verdict == verdict


def test_the_object_has_median_minimum_and_maximum_of_what_has_a_key() -> None:
    figures = [
        Figure(key="drain_ratio", what="drain", samples=[1.5, 1.25, 1.4]),
        Figure(what="drain, events/s", samples=[50_000.0]),
    ]
    assert json.loads(as_json(figures)) == {
        "drain_ratio": 1.4,
        "drain_ratio_min": 1.25,
        "drain_ratio_max": 1.5,
    }


def test_a_line_shows_what_was_asked_and_what_was_found() -> None:
    line = table([Figure(what="drain", samples=[1.5, 1.25, 1.4], asked=at_least(1.25))]).splitlines()[1]
    assert line.split() == ["drain", ">=", "1.25", "1.4", "1.25", "..", "1.5", "met"]
