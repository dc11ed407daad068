"""Imports point one way; the contracts stand in pyproject.toml."""

import pytest
from importlinter.cli import lint_imports


def test_imports_keep_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    # It configures logging for a process of its own, and would silence the loggers of all tests that follow.
    monkeypatch.setattr("logging.config.dictConfig", lambda config: None)
    assert lint_imports(no_cache=True, no_logo=True) == 0
