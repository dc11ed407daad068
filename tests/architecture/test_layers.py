"""Imports point one way; the contracts stand in pyproject.toml."""

from importlinter.cli import lint_imports


def test_imports_keep_the_layers() -> None:
    assert lint_imports(no_cache=True, no_logo=True) == 0
