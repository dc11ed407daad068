"""One run of the demo, from the migration to the last process's end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from django.core.management import call_command
from django.db import connections

from somabrain.demo import brokers, staff, trouble
from somabrain.demo.services import Services
from somabrain.embedded.paths import CACHE, private
from somabrain.embedded.refusal import Refusal
from somabrain.errors import SomabrainError

Say = Callable[[str], None]

_FEED = "feed"
_QCLUSTER = ("qcluster",)


class DemoFailed(SomabrainError):
    """The demo did not run as it should."""


def once(*, kafka: str | None, say: Say) -> bool:
    """Feed, publish, consume, compare; says one line of JSON, and returns whether all holds."""
    home = _prepare()
    with brokers.provided(kafka, log=home / "broker.log"):
        services = _run({"qcluster": _QCLUSTER, _FEED: ("demo_feed", "--once")}, say=say, home=home)
    return services.first_to_end == _FEED and services.exit_code(_FEED) == 0


def on_and_on(*, kafka: str | None, port: int, refuse_seconds: float, say: Say, show: Say) -> None:
    """Until somebody stops it. `say` gets lines to be read, `show` those of which the last is enough.

    `refuse_seconds`: how long a broker of the demo's own refuses one tenant's topic, from its start on.
    """
    home = _prepare()
    trouble.prepare(seconds=refuse_seconds)
    refuse = Refusal(topic=trouble.TOPIC, seconds=refuse_seconds)
    broker = brokers.provided(kafka, log=home / "broker.log", refuse=refuse)
    with broker as bootstrap_servers, staff.on_duty() as password:
        address = f"127.0.0.1:{_free(port)}"
        say(f"admin   http://{address}/admin/   user {staff.USERNAME}, password {password}")
        say(f"broker  {bootstrap_servers}")
        say(f"logs    {home}   Ctrl-C stops everything")
        web = ("runserver", "--noreload", "--skip-checks", address)
        _run({"web": web, "qcluster": _QCLUSTER, _FEED: ("demo_feed",)}, say=show, home=home)


def _prepare() -> Path:
    call_command("migrate", verbosity=0)
    return private(CACHE / "demo")


def _run(commands: dict[str, tuple[str, ...]], *, say: Say, home: Path) -> Services:
    """Until a signal stops them all, or the feed has ended; any other end is a failure."""
    # honcho forks: what is open here must not be shared with its children.
    connections.close_all()
    log = home / "services.log"
    with log.open("w", buffering=1) as output:
        services = Services(commands, shown=_FEED, show=say, log=output)
        services.run()
    if (culprit := services.first_to_end) not in (None, _FEED):
        code = services.exit_code(culprit)
        raise DemoFailed(f"{culprit} has ended with {code}; {log} ends with:\n{log.read_text()[-3_000:]}")
    return services


def _free(port: int) -> int:
    """The port itself, or one that the system picks when somebody has it."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed("No TCP port is free on 127.0.0.1.")
