from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from outbox.relay.listen import Listener
from tests.outbox.relay.conftest import Tables
from tests.support.waiting import wait_until


@pytest.fixture
def listener(tables: Tables) -> Iterator[tuple[Listener, threading.Event]]:
    woken = threading.Event()
    made = Listener(wake=woken.set)
    yield made, woken
    made.close()


def test_notifications_are_heard_with_their_channel(listener: tuple[Listener, threading.Event], tables: Tables) -> None:
    hears, woken = listener
    tables.execute("NOTIFY outbox_wake, 'acme,zeta'")
    tables.policy("acme", weight=2)
    heard: list[tuple[str, str]] = []

    def heard_all() -> bool:
        heard.extend(hears.heard())
        return len(heard) >= 3

    wait_until(heard_all)
    assert heard[0] == ("outbox_wake", "acme,zeta")
    # The policy before it is deleted, the new one is inserted.
    assert [channel for channel, _ in heard] == ["outbox_wake", "outbox_policy", "outbox_policy"]
    assert woken.wait(30)
    assert not hears.waiting


def test_a_listener_says_when_there_is_something_to_hear(
    listener: tuple[Listener, threading.Event], tables: Tables
) -> None:
    hears, _ = listener
    tables.execute("NOTIFY outbox_wake, 'acme'")
    wait_until(lambda: hears.waiting)
    assert hears.heard()


def test_a_listener_that_lost_its_session_says_so(listener: tuple[Listener, threading.Event], tables: Tables) -> None:
    hears, woken = listener
    tables.execute("SELECT pg_terminate_backend(%(pid)s)", pid=hears._connection.info.backend_pid)
    assert woken.wait(30)
    with pytest.raises(psycopg.OperationalError):
        hears.heard()
