"""The page about testing: its tests pass, and fail as it says."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from outbox.testing import Recorder, assert_enqueued
from tests.docs.pages import DOCS, Block, blocks, run

PAGE = DOCS / "how-to" / "test.md"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The names of the page's modules, by the names of their files."""
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.orders", ModuleType("shop.orders"))
    python = {_name(block): block for block in blocks(PAGE) if block.language == "python"}
    modules = {"shop/orders.py": vars(sys.modules["shop.orders"])}
    for name, block in python.items():
        run(PAGE, block, modules.setdefault(name, {"__name__": Path(name).stem}))
    return modules


def _name(block: Block) -> str:
    return block.text.partition("\n")[0].removeprefix("# ")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["test_an_order_is_announced", "test_an_order_is_announced_once", "test_orders_go_to_their_customers"]
)
def test_its_tests_for_pytest_pass(page: dict[str, dict[str, Any]], name: str) -> None:
    assert len([each for each in page["test_orders.py"] if each.startswith("test_")]) == 3
    page["test_orders.py"][name](Recorder())


@pytest.mark.django_db
def test_its_test_case_passes(page: dict[str, dict[str, Any]]) -> None:
    result = unittest.TestResult()
    page["tests.py"]["OrderTest"]("test_an_order_is_announced").run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])


@pytest.mark.django_db
def test_a_failure_reads_as_it_says(page: dict[str, dict[str, Any]]) -> None:
    placed = page["shop/orders.py"]["place"](7, "acme")
    with pytest.raises(AssertionError) as failed:
        assert_enqueued(topic="orders", tenant_id="acme", payload={"id": 8})
    (shown,) = (block.text for block in blocks(PAGE) if block.language == "text")
    assert f"AssertionError: {failed.value}\n" == shown.replace("#1 ", f"#{placed.event_id} ")
