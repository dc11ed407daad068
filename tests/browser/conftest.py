"""A browser on a service that runs as it does in production, with data that outlives a test: tenants are its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django import DjangoDbBlocker

from tests.browser.service import Service
from tests.browser.watch import Watch
from tests.support import axe, chromium, emptying
from tests.support.need import need

HANG_GUARD_SECONDS = 60


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test database for a module, in place of the fixture that undoes what a test has done: servers see its rows.

    A test is told from others by its tenants and users. The module's end empties all tables.
    """
    with django_db_blocker.unblock():
        assert connection.settings_dict["NAME"].startswith("test_"), "This would empty a database that is in use."
        yield
        emptying.empty()
        connection.close()


@pytest.fixture(scope="module")
def browser(db: None) -> Iterator[Browser]:
    """The system's Chromium."""
    path = need(chromium.executable)
    expect.set_options(timeout=HANG_GUARD_SECONDS * 1_000)
    with pytest.MonkeyPatch.context() as patch, chromium.running(path) as running:
        # Playwright keeps an event loop in this thread, where Django would take every query for a mistake.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield running
        # With a loop Django had another connection in this thread than without.
        connection.close()


@pytest.fixture(scope="module")
def service(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The web server and the broker, shared by the tests of a module; workers are started by who needs them."""
    with Service(tmp_path_factory.mktemp("service")) as running:
        yield running


class OpenPage(Protocol):
    def __call__(
        self, user: User | None, *, width: int = 1280, height: int = 900, scheme: Any = "light", zone: str = "UTC"
    ) -> Page: ...


@pytest.fixture
def open_page(browser: Browser, service: Service) -> Iterator[OpenPage]:
    """A page of a browser that this user is signed in to, or nobody. The test fails for what the browser complains of.

    Addresses are relative to the service's. What is not so yet is waited for, not slept for.
    """
    watch = Watch()
    with opening(browser, service, watch) as make:
        yield make
    watch.judge()


@contextmanager
def opening(browser: Browser, service: Service, watch: Watch) -> Iterator[OpenPage]:
    """Pages that are closed at the end of the block."""
    with ExitStack() as opened:

        def make(
            user: User | None, *, width: int = 1280, height: int = 900, scheme: Any = "light", zone: str = "UTC"
        ) -> Page:
            context = browser.new_context(
                base_url=service.url,
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                timezone_id=zone,
                locale="en-GB",
                reduced_motion="reduce",
            )
            opened.callback(context.close)
            context.set_default_timeout(HANG_GUARD_SECONDS * 1_000)
            watch.over(context)
            if user is not None:
                context.add_cookies([{"name": "sessionid", "value": _session_of(user), "url": service.url}])
            return context.new_page()

        yield make


@pytest.fixture(scope="session")
def axe_script() -> str:
    return need(axe.script)


def _session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
