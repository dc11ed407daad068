from __future__ import annotations

from outbox.relay.spans import split


def test_whole_spans_are_taken_in_their_order() -> None:
    assert split([(0, 9, 10), (10, 14, 5), (20, 20, 1)], 15) == ([(0, 9, 10), (10, 14, 5)], [(20, 20, 1)])


def test_a_span_that_is_divided_is_taken_to_be_even() -> None:
    assert split([(0, 100, 10)], 4) == ([(0, 40, 4)], [(40, 100, 6)])


def test_nothing_is_taken_of_a_span_for_no_event() -> None:
    assert split([(0, 9, 10)], 0) == ([], [(0, 9, 10)])


def test_more_than_there_is_takes_all() -> None:
    assert split([(0, 9, 10)], 99) == ([(0, 9, 10)], [])
