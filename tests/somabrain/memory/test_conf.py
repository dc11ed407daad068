from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from somabrain.memory import conf
from somabrain.memory.errors import InvalidSetting


def test_nothing_set_is_fine() -> None:
    found = conf.get()
    assert (found.url, found.token, found.timeout, found.connect_timeout, found.connections) == ("", "", 5, 2, 50)
    assert conf.problems() == []


def test_a_slash_at_the_end_of_the_url_means_nothing(settings: Settings) -> None:
    settings.MEMORY_URL = "https://memory.example/somewhere/"
    assert conf.get().url == "https://memory.example/somewhere"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMORY_URL", "memory.example"),
        ("MEMORY_URL", "ftp://memory.example"),
        ("MEMORY_URL", "http://"),
        ("MEMORY_URL", "http://memory.example:many"),
        ("MEMORY_URL", "http://[memory"),
        ("MEMORY_URL", "http://memory.example/?tenant=acme"),
        ("MEMORY_URL", "http://memory.example/#here"),
        ("MEMORY_URL", "http://ann:sesame@memory.example"),
        ("MEMORY_TOKEN", "open sesame"),
        ("MEMORY_TOKEN", "sesame\n"),
        ("MEMORY_TIMEOUT", "soon"),
        ("MEMORY_TIMEOUT", "0"),
        ("MEMORY_TIMEOUT", "nan"),
        ("MEMORY_TIMEOUT", "inf"),
        ("MEMORY_CONNECT_TIMEOUT", "61"),
        ("MEMORY_CONNECTIONS", "0"),
        ("MEMORY_CONNECTIONS", "1.5"),
    ],
)
def test_what_cannot_work_is_found_by_name(settings: Settings, name: str, value: Any) -> None:
    setattr(settings, name, value)
    (problem,) = conf.problems()
    assert str(problem).startswith(f"{name}=")
    assert "sesame" not in str(problem)
    with pytest.raises(InvalidSetting):
        conf.get()
    assert [each.id for each in run_checks(tags=["memory"])] == ["memory.E001"]
