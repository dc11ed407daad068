"""What was measured last, kept for the README: `bench/measured.json`, and the third cell of its table's rows."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measure import spread
from bench.report import Figure

MEASURED = Path(__file__).with_name("measured.json")
README = Path(__file__).parent.parent / "README.md"

_ROW = re.compile(r'^(\|[^|\n]*\|[^|\n]*\|)[^|\n]*(\| `make bench ARGS="--only (\w+)"` \|)$', re.MULTILINE)
_SENTENCE = re.compile(r"^Measured on .*$", re.MULTILINE)


def record(scenario: str, figures: Iterable[Figure]) -> None:
    """Take what is asked of a scenario into the file, beside what stands there of others, and into the README."""
    kept = _kept()
    kept["scenarios"][scenario] = [
        {"what": figure.what, "median": found.median, "least": found.minimum, "most": found.maximum}
        for figure in figures
        if figure.asked is not None
        for found in [spread(figure.samples)]
    ]
    kept["machine"] = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    kept["on"] = f"{datetime.now(UTC):%Y-%m-%d}"
    MEASURED.write_text(json.dumps(kept, indent=1) + "\n")
    README.write_text(with_numbers(README.read_text(), kept))


def with_numbers(readme: str, kept: Mapping[str, Any]) -> str:
    """The README with what is kept in its table."""

    def row(match: re.Match[str]) -> str:
        return f"{match[1]} {_cell(kept['scenarios'].get(match[3], []))} {match[2]}"

    sentence = f"Measured on {kept['machine']}, {kept['on']}: medians, with the least and the most of the rounds."
    return _SENTENCE.sub(sentence, _ROW.sub(row, readme))


def _cell(found: Iterable[Mapping[str, Any]]) -> str:
    parts = [f"{each['median']:.3g} ({each['least']:.3g} to {each['most']:.3g})" for each in found]
    return "; ".join(parts) or "not yet"


def _kept() -> dict[str, Any]:
    if MEASURED.exists():
        kept: dict[str, Any] = json.loads(MEASURED.read_text())
        return kept
    return {"scenarios": {}}
