"""Docstrings as they stand in the source, for autodoc: a line that begins with a name explains that parameter."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_PARAMETER = re.compile(r"`(\w+)`: ")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("autodoc-process-docstring", _on_docstring)
    return {"parallel_read_safe": True}


def _on_docstring(app: Sphinx, what: str, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    if what in ("function", "method"):
        lines[:] = with_fields(lines)


def with_fields(lines: list[str]) -> list[str]:
    """Turns paragraphs of "`name`: text" lines into field lists, which is how Sphinx knows parameters."""
    result: list[str] = []
    in_field = False
    for line in lines:
        if match := _PARAMETER.match(line):
            if result and result[-1] and not in_field:
                result.append("")
            in_field = True
            result.append(f":param {match[1]}: {line[match.end() :]}")
        elif in_field and line:
            result.append(f"    {line}")
        else:
            in_field = False
            result.append(line)
    return result
