"""From where somebody works, behind proxies too."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from circuits.console.client import address, origin


def of(forwarded: str | None = None, *, seen: str = "10.0.0.1") -> str | None:
    headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return address(RequestFactory().get("/", REMOTE_ADDR=seen, **headers))  # type: ignore[arg-type]


def test_without_proxies_what_a_client_says_of_itself_is_not_believed() -> None:
    assert of("192.0.2.1") == "10.0.0.1"
    assert origin(RequestFactory().get("/", REMOTE_ADDR="192.0.2.9")).source == "admin"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.66, 192.0.2.1", "192.0.2.1"),
        (2, "203.0.113.66, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        (2, "192.0.2.1", "192.0.2.1"),
        (1, None, "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "unknown", "10.0.0.1"),
        (1, "192.0.2.1:4711", "192.0.2.1"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
    ],
)
def test_each_proxy_is_counted_from_the_right(
    settings: Settings, proxies: int, forwarded: str | None, found: str
) -> None:
    settings.CIRCUITS_CONSOLE_PROXIES = proxies
    assert of(forwarded) == found


def test_behind_a_socket_there_is_no_address() -> None:
    assert of(seen="") is None
