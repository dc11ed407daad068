"""Without a tool a test is skipped, but never where nobody would notice."""

from __future__ import annotations

import pytest

from somabrain.embedded.errors import MissingProgram
from tests.support.need import need


@pytest.mark.parametrize(("setting", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_continuous_integration_does_not_do_without_a_tool(
    monkeypatch: pytest.MonkeyPatch, setting: str, outcome: type[BaseException]
) -> None:
    def missing() -> None:
        raise MissingProgram("mvn", package="maven")

    monkeypatch.setenv("CI", setting)
    with pytest.raises(outcome, match="mvn"):
        need(missing)
