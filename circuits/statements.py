"""Statements that the ORM cannot say, one file each, read once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import LiteralString


def loader(package: str) -> Callable[[str], LiteralString]:
    """What gives the statement in `<name>.sql` of the package."""

    @cache
    def load(name: str) -> LiteralString:
        return resources.files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")

    return load
