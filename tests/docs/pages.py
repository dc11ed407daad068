"""Pages of the documentation and the code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from somabrain.embedded.paths import CHECKOUT

DOCS = CHECKOUT / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """What stands between fences, in order."""
    text = page.read_text()
    for match in _BLOCK.finditer(text):
        yield Block(match[1], match[2], text.count("\n", 0, match.start(2)))


def links(page: Path) -> list[str]:
    """Targets of links within the project."""
    return _LINK.findall(page.read_text())


def run(page: Path, block: Block, names: dict[str, object]) -> None:
    """Execute a block as if it stood in the page, so that tracebacks name its lines."""
    exec(compile("\n" * block.line + block.text, str(page), "exec"), names)  # noqa: S102  our own documentation
