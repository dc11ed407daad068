"""What is said about the memory holds."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pytest_django import Settings

from circuits.process import process
from somabrain.memory import answers
from somabrain.memory.errors import BackendFailed
from tests.docs.pages import DOCS, blocks, run
from tests.support.memory_server import serving

PAGE = DOCS / "how-to" / "memory.md"


@pytest.mark.django_db(transaction=True)
def test_the_python_of_the_page_does_what_it_says(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    process.close()
    names: dict[str, Any] = {}
    first, second = (block for block in blocks(PAGE) if block.language == "python")
    with serving() as memory:
        settings.MEMORY_URL = memory.url
        run(PAGE, first, names)
        assert names["found"][0].payload == {"kind": "green"}
        memory.status = 503
        while not names["memory"].get_circuit_state()["circuit_open"]:
            names["memory"].remember("coffee", "black")
            names["memory"].remember("tea", "white")
            with pytest.raises(BackendFailed):
                names["memory"].recall("tea")
        names["backend"].close()
        run(PAGE, first, names)
        assert re.search(r"waits as event \d+\ntry again in \d+", capsys.readouterr().out)
        run(PAGE, second, names)
        assert names["memory"].get_circuit_state()["failure_threshold"] == 3
    names["backend"].close()
    process.close()


def test_the_answers_that_count_are_those_that_are_named() -> None:
    (named,) = re.findall(r"nobody's request \(([\d, ]+)\)", PAGE.read_text())
    counted = []
    for status in range(400, 500):
        try:
            answers.judge(status, json.dumps({}).encode())
        except BackendFailed:
            counted.append(status)
        except Exception:  # noqa: S112  the others are the caller's fault
            continue
    assert sorted([*map(int, named.split(", ")), 429]) == counted
