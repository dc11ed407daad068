"""The system's Chromium, driven by Playwright, which downloads none of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from somabrain.embedded.errors import MissingProgram

_HANG_SECONDS = 120
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A container's /dev/shm is too small for it.
    "--disable-dev-shm-usage",
    # The same letters on every machine.
    "--font-render-hinting=none",
)


def executable() -> str:
    """Its path. Raises `MissingProgram`."""
    for name in _NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    raise MissingProgram(_NAMES[0], package=_NAMES[0])


@contextmanager
def running(path: str) -> Iterator[Browser]:
    """A browser without a window, closed at the end of the block."""
    with sync_playwright() as playwright:
        # Under root, as in most containers, it has no sandbox; it opens nothing but our own pages.
        browser = playwright.chromium.launch(
            executable_path=path, chromium_sandbox=False, args=list(_QUIET), timeout=_HANG_SECONDS * 1_000
        )
        try:
            yield browser
        finally:
            browser.close()
