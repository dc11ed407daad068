"""Where the embedded servers keep what is theirs: in the checkout, so that two checkouts never meet."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CACHE = CHECKOUT / ".cache"


def private(directory: Path) -> Path:
    """The directory, created for its owner alone if it is not there."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def publish(path: Path, text: str) -> None:
    """Write a file that others see whole or not at all, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
