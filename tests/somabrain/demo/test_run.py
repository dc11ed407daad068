"""The demo as a person starts and stops it, its processes and servers included."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest

from somabrain.embedded.kafka import KafkaBroker
from somabrain.embedded.paths import CACHE
from tests.conftest import StartManage
from tests.somabrain.embedded.conftest import Checkout
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

HANG_SECONDS = 120


def outcome(output: str) -> dict[str, Any]:
    """The line of JSON that a single run ends with."""
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def holds(found: dict[str, Any]) -> bool:
    nothing_wrong = {"committed": 329, "published": 329, "missing": 0, "duplicates": 0, "order_inversions": 0}
    return found.pop("seconds") > 0 and found == nothing_wrong


def living(checkout: Checkout) -> list[psutil.Process]:
    """Every process at work in this checkout."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if checkout.path in (Path(process.cwd()), *Path(process.cwd()).parents):
                found.append(process)
    return found


def left_running(checkout: Checkout) -> list[psutil.Process]:
    """What is at work here for good: PostgreSQL's keeper ends when it has seen the end of its last user."""
    wait_until(lambda: not running(checkout, "somabrain.embedded.keeper"), timeout=HANG_SECONDS)
    return living(checkout)


def running(checkout: Checkout, word: str) -> list[psutil.Process]:
    """What is at work here with this word in its command."""
    found = []
    for process in living(checkout):
        with suppress(psutil.Error):
            if word in process.cmdline():
                found.append(process)
    return found


@contextmanager
def demo(checkout: Checkout, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo in a process group of its own, as a shell starts it."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--port", "0", *arguments],
        cwd=checkout.path,
        env={**clean_environment(), "PYTHONPATH": str(checkout.path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        for left in living(checkout):
            with suppress(psutil.NoSuchProcess):
                left.kill()
        process.communicate()


def get(address: str) -> str:
    with urlopen(address, timeout=HANG_SECONDS) as answer:  # noqa: S310  the address is our own
        return str(answer.read().decode())


def answers(address: str) -> bool:
    """Not before the web server has started."""
    try:
        get(address)
    except URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError):
            raise
        return False
    return True


def superuser(checkout: Checkout) -> str:
    """Whether the demo's account is active, and whether it has a password."""
    account = "from django.contrib.auth.models import User; user = User.objects.get(username='demo')"
    done = checkout.run("manage.py", "shell", "-v", "0", "-c", f"{account}; print(user.is_active, user.password[0])")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_until_published(process: subprocess.Popen[str]) -> None:
    wait_for_line(process, "pending 0  ")


def wait_for_line(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if text in line:
            return line
    raise AssertionError(f"{text!r} was never said:\n{''.join(said)}")


def test_once_carries_every_webhook_to_the_mock_broker_and_leaves_nothing_running(checkout: Checkout) -> None:
    done = checkout.run("manage.py", "demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert holds(outcome(done.stdout))
    assert left_running(checkout) == []


def test_once_carries_every_webhook_to_the_servers_that_it_is_given(
    start_manage: StartManage, real_kafka: KafkaBroker
) -> None:
    demo = start_manage("demo", "--once", env={"KAFKA_BOOTSTRAP_SERVERS": real_kafka.bootstrap_servers})
    assert demo.wait(timeout=HANG_SECONDS) == 0, demo.output()
    assert holds(outcome(demo.output()))


@pytest.mark.kafka
def test_once_carries_every_webhook_to_a_kafka_of_its_own(checkout: Checkout, real_kafka: KafkaBroker) -> None:
    fetched = checkout.path / ".cache" / "maven"
    fetched.parent.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        fetched.symlink_to(CACHE / "maven")
    done = checkout.run("manage.py", "demo", "--once", "--kafka", "real")
    assert done.returncode == 0, done.stdout + done.stderr
    assert holds(outcome(done.stdout))
    assert left_running(checkout) == []


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGHUP, True)],
)
def test_a_signal_stops_everything(checkout: Checkout, number: int, whole_group: bool) -> None:
    with demo(checkout) as process:
        wait_until_published(process)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0
        assert left_running(checkout) == []
        assert superuser(checkout) == "False !"


def test_the_circuit_of_a_refused_tenant_opens_and_closes_by_itself_in_the_live_line(checkout: Checkout) -> None:
    # From the broker's start on: on a busy machine it takes long until there is something to refuse.
    with demo(checkout, "--refuse-seconds", "15") as process:
        opened = wait_for_line(process, "circuit open: locked-out")
        assert " ms, p99 " in opened, "the others' latency stands beside it"
        assert process.stdout is not None
        closed = next(line for line in process.stdout if "circuit open" not in line)
        assert "committed" in closed
        assert "dead letters" not in closed


def test_a_signal_while_everything_starts_leaves_nothing_behind(checkout: Checkout) -> None:
    with demo(checkout) as process:
        wait_for_line(process, "Ctrl-C stops everything")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0
        assert left_running(checkout) == []


def test_nothing_outlives_a_killed_demo(checkout: Checkout) -> None:
    with demo(checkout) as process:
        wait_until_published(process)
        process.kill()
        # Its children hold the other end of this pipe.
        process.communicate(timeout=HANG_SECONDS)
        psutil.wait_procs(living(checkout), timeout=HANG_SECONDS)
        assert living(checkout) == []


def test_the_demo_shows_the_admin_and_ends_with_it_and_says_so(checkout: Checkout) -> None:
    with demo(checkout) as process:
        words = wait_for_line(process, "admin ").split()
        assert words[words.index("user") + 1] == "demo,"
        assert len(words[words.index("password") + 1]) >= 16
        wait_until_published(process)
        wait_until(lambda: answers(words[1]), timeout=HANG_SECONDS)
        assert "Log in" in get(words[1])
        (web,) = running(checkout, "runserver")
        web.kill()
        output, _ = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 1
        assert "web has ended with -9" in output
        assert left_running(checkout) == []
        assert superuser(checkout) == "False !"


def test_a_broker_of_its_own_is_refused_beside_one_that_is_given(start_manage: StartManage) -> None:
    demo = start_manage("demo", "--once", "--kafka", "mock", env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"})
    assert demo.wait(timeout=HANG_SECONDS) == 1
    assert "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9 names the broker" in demo.output()


def test_a_broker_of_another_kind_is_not_taken_for_the_one_asked_for(checkout: Checkout) -> None:
    mock = checkout.start("manage.py", "mock_broker")
    assert mock.stdout is not None
    mock.stdout.readline()
    done = checkout.run("manage.py", "demo", "--once", "--kafka", "real")
    assert done.returncode == 1
    assert "A mock broker runs already" in done.stderr


def test_a_broker_that_runs_already_is_used_and_left_running(checkout: Checkout) -> None:
    mock = checkout.start("manage.py", "mock_broker")
    assert mock.stdout is not None
    mock.stdout.readline()
    done = checkout.run("manage.py", "demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert mock.poll() is None
