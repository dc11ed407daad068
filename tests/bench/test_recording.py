from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import recording, scenarios
from bench.report import Figure, at_least

ROW = '| drain | at least 1.25 | {} | `make bench ARGS="--only drain"` |\n'


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    page = tmp_path / "README.md"
    page.write_text(f"Measured on nothing yet.\n\n{ROW.format('not yet')}| other | cells | stay |\n")
    monkeypatch.setattr(recording, "README", page)
    monkeypatch.setattr(recording, "MEASURED", tmp_path / "measured.json")
    return page


def test_what_is_recorded_stands_in_its_row(page: Path) -> None:
    recording.record("drain", [Figure(what="x", samples=[1.5, 1.25, 1.4], asked=at_least(1.25))])
    assert ROW.format("1.4 (1.25 to 1.5)") in page.read_text()
    assert "| other | cells | stay |" in page.read_text()


def test_what_nobody_asked_for_is_left_out(page: Path) -> None:
    recording.record("drain", [Figure(what="x", samples=[50_000.0])])
    assert ROW.format("not yet") in page.read_text()


def test_other_scenarios_keep_what_was_measured(page: Path) -> None:
    recording.record("drain", [Figure(what="x", samples=[1.4], asked=at_least(1.25))])
    recording.record("quiet", [Figure(what="y", samples=[30.0], asked=at_least(1))])
    assert ROW.format("1.4 (1.4 to 1.4)") in page.read_text()


def test_the_readme_says_what_was_measured() -> None:
    """By no hand: whoever changes a number there has to measure it."""
    text = recording.README.read_text()
    kept = json.loads(recording.MEASURED.read_text())
    assert recording.with_numbers(text, kept) == text
    assert kept["scenarios"].keys() <= set(scenarios.NAMES)
