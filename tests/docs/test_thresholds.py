"""What is said about guarding calls holds."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from circuits.api import CircuitOpen
from circuits.models import TenantCircuit
from circuits.process import process
from tests.circuits.marks import on_database
from tests.docs.pages import DOCS, blocks, run

PAGE = DOCS / "how-to" / "thresholds.md"


class Memory:
    """A dependency that is down."""

    def __init__(self) -> None:
        self.asked = 0

    def _down(self, *_: Any) -> Any:
        self.asked += 1
        raise ConnectionError

    put = get = _down

    def status(self) -> int:
        return 503


@on_database
def test_the_python_of_the_page_does_what_it_says() -> None:
    process.close()
    memory, left = Memory(), []
    names: dict[str, Any] = {"memory": memory, "later": lambda *given: left.append(given)}
    python = [block for block in blocks(PAGE) if block.language == "python"]
    run(PAGE, python[0], names)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            names["remember"]("acme", "key", "value")
    names["remember"]("acme", "key", "value")
    ((_, _, retry_after),) = left
    assert (memory.asked, 0 < retry_after <= 30) == (5, True)
    run(PAGE, python[1], names)
    assert names["recall"]("key") is None
    with pytest.raises(CircuitOpen):
        run(PAGE, python[2], names)
    for block in python[3:]:
        run(PAGE, block, names)
    assert TenantCircuit.objects.get(name="memory").failure_threshold == 10
    assert TenantCircuit.objects.get(name="publish").failures == 1
    process.close()


@on_database
def test_the_commands_of_the_page_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    process.close()
    commands = re.findall(r"^    manage\.py (circuits .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        words = [first or second for first, second in re.findall(r'"([^"]*)"|(\S+)', command)]
        call_command(*words, *(["--yes"] if "--reason" in words else []))
    assert TenantCircuit.objects.get().override == "auto"
    process.close()


@pytest.mark.django_db
def test_the_view_has_the_columns_that_are_described() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM circuits_now")
        columns = {column.name for column in cursor.description or ()}
    described = re.findall(r"^\| (`.*?`) \|", PAGE.read_text().partition("| Column |")[2], re.MULTILINE)
    assert {name.strip("`, ") for cell in described for name in cell.split(",")} == columns
