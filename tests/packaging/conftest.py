"""The distribution, built once for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from somabrain.embedded.paths import CHECKOUT
from tests.support.projects import run


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what `python -m build` makes: the sources, and the wheel built from them."""
    directory = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(CHECKOUT)])
    return directory


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    (found,) = distributions.glob("*.whl")
    return found
