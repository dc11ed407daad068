"""Charts: where everything stands, what is said of it, and what happens at the edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.template import engines
from django.test import override_settings

from circuits.console.ages import duration
from outbox.console import charts, scales
from outbox.console.charts import Chart, Series
from tests.support.markup import inline

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def minutes(number: int) -> list[datetime]:
    return [NOON + timedelta(minutes=index) for index in range(number)]


def drawn(*values: float | None, **options: object) -> Chart:
    series = [Series(label="sent", values=values, look=1)]
    return charts.chart(name="events", title="Events a minute", moments=minutes(len(values)), series=series, **options)  # type: ignore[arg-type]


def written(chart: Chart) -> str:
    template = engines["django"].from_string("{% load outbox_console %}{% chart drawn %}")
    return str(template.render({"drawn": chart}))


@pytest.mark.parametrize(
    ("highest", "whole", "expected"),
    [
        (0, True, (0, 1)),
        (1, True, (0, 1)),
        (3, True, (0, 1, 2, 3)),
        (7, True, (0, 2, 4, 6, 8)),
        (40_000, True, (0, 10_000, 20_000, 30_000, 40_000)),
        (40_001, True, (0, 20_000, 40_000, 60_000)),
        (0.3, False, (0, 0.1, 0.2, 0.3)),
    ],
)
def test_ticks_are_round_and_reach_the_highest(highest: float, whole: bool, expected: tuple[float, ...]) -> None:
    assert scales.ticks(highest, whole=whole) == pytest.approx(expected)


@pytest.mark.parametrize(("number", "expected"), [(0, 0), (1, 1), (15, 5), (60, 4), (1_440, 4)])
def test_an_axis_has_few_clock_times(number: int, expected: int) -> None:
    assert len(scales.clock_ticks(minutes(number))) == expected


def test_clock_times_are_whole() -> None:
    odd = [NOON + timedelta(minutes=index + 7) for index in range(60)]
    assert {odd[index].minute for index in scales.clock_ticks(odd)} == {15, 30, 45, 0}


@pytest.mark.parametrize(
    ("figure", "said"), [(0, "0"), (999, "999"), (1_500, "1.5k"), (38_001, "38k"), (2e6, "2M"), (3e9, "3G")]
)
def test_an_axis_has_short_figures(figure: float, said: str) -> None:
    assert scales.short_count(figure) == said


@pytest.mark.parametrize(
    ("figure", "said"),
    [(0.0004, "0.4 ms"), (0.25, "250 ms"), (1.5, "1.5 s"), (90, "1.5 min"), (7_200, "2 h"), (172_800, "2 d")],
)
def test_times_have_the_unit_that_fits(figure: float, said: str) -> None:
    assert scales.seconds(figure) == said


def test_figures_have_separators() -> None:
    assert [scales.count(figure) for figure in (38_001, 2.5, 3.0)] == ["38,001", "2.5", "3"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.4, "0 s"), (12, "12 s"), (192, "3 min 12 s"), (3_600, "1 h"), (93_600, "1 d 2 h")],
)
def test_ages_have_two_units(seconds: float, said: str) -> None:
    assert duration(timedelta(seconds=seconds)) == said


def test_a_line_goes_from_edge_to_edge_and_stays_inside() -> None:
    chart = drawn(0, 5, 10)
    assert chart.lines[0].path == "M40 148L196 78L352 8"
    assert [tick.text for tick in chart.up] == ["0", "5", "10"]
    assert chart.lines[0].last == "10"


def test_what_is_not_known_is_a_gap_and_not_a_nought() -> None:
    chart = drawn(10, None, 10, 10)
    assert chart.lines[0].path.count("M") == 2
    assert chart.rows[1].cells == ("–",)  # noqa: RUF001


def test_a_moment_alone_between_gaps_is_a_dot() -> None:
    assert drawn(None, 10, None).lines[0].path == "M196 8L196 8"


def test_lines_differ_by_more_than_their_colour() -> None:
    looks = [Series(label=str(look), values=(1,), look=look) for look in (1, 2, 3, 4)]
    chart = charts.chart(name="n", title="t", moments=minutes(1), series=looks)
    assert len({line.key for line in chart.lines}) == 4


def test_whoever_does_not_see_it_is_told_the_same() -> None:
    chart = drawn(3, 12_000, 7)
    assert chart.summary == "Events a minute, 12:00 to 12:02: sent 7 last, 12,000 at most."
    page = written(chart)
    assert f'aria-label="{chart.summary}"' in page
    assert page.count("<title") == 3
    assert ">12:01 sent 12,000</title>" in page
    assert '<td class="numeric">12,000</td>' in page


def test_nothing_known_says_so_instead_of_an_empty_picture() -> None:
    for chart in (drawn(), drawn(None, None)):
        assert chart.is_empty
        assert "Nothing happened in this time." in written(chart)
        assert "<svg" not in written(chart)


def test_noughts_are_known() -> None:
    assert not drawn(0, 0).is_empty


def test_names_are_text_and_nothing_is_inline() -> None:
    series = [Series(label="<b>sent</b>", values=(1,), look=1)]
    page = written(charts.chart(name="n", title="<i>", moments=minutes(1), series=series))
    assert "<b>" not in page
    assert inline(page) == []


@override_settings(LANGUAGE_CODE="de")
def test_decimals_have_a_point_in_every_language() -> None:
    assert 'viewBox="0 0 360.0 170.0"' in written(drawn(1, 2))


def test_a_sparkline_says_what_it_shows() -> None:
    spark = charts.spark([3, 40_000, 38_001], what="pending")
    assert spark.summary == "pending: 3 at first, 38,001 last, 40,000 at most"
    assert spark.path.startswith("M3 19L")
    assert spark.end == (87.0, 3.8)
    assert charts.spark([], what="pending").summary == "pending: nothing known"
    assert charts.spark([None, None], what="pending").end is None


def test_a_sparkline_has_few_spots_and_keeps_the_last() -> None:
    spark = charts.spark([0] * 94 + [8], what="sent")
    assert spark.path.count("L") == 23
    assert spark.end == (87.0, 3.0)
    assert spark.summary == "sent: 0 at first, 8 last, 8 at most"
    assert charts.spark([None] * 90 + [5] * 5, what="sent").end is not None
