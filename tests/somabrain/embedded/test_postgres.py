from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.somabrain.embedded.conftest import Checkout, MakeCheckout

# Says which server it found, and stays its user until it reads a line.
USER = """
import sys
import psycopg
from somabrain.embedded import postgres
with psycopg.connect(postgres.ensure_running().url("somabrain")) as connection:
    print(connection.execute("SELECT pg_postmaster_start_time()").fetchone()[0])
sys.stdin.readline()
"""
FORKING_USER = USER.replace("sys.stdin", "import os\nif os.fork(): os._exit(0)\nsys.stdin")


def use(checkout: Checkout, code: str = USER) -> subprocess.Popen[str]:
    return checkout.start("-c", code)


def server_of(user: subprocess.Popen[str]) -> str:
    assert user.stdout is not None
    found = user.stdout.readline()
    assert found, user.communicate()
    return found


def leave(user: subprocess.Popen[str]) -> None:
    _, errors = user.communicate("\n", timeout=60)
    assert user.returncode == 0, errors


def wait_until_stopped(checkout: Checkout) -> None:
    """The time limit is a guard against hanging."""
    deadline = time.monotonic() + 60
    while checkout.postgres():
        assert time.monotonic() < deadline, "the server outlives its users"
        time.sleep(0.02)


def kill_server(checkout: Checkout) -> None:
    for process in checkout.postgres():
        # Without the one at their head the others end by themselves.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until_stopped(checkout)


def pid_file(checkout: Checkout) -> Path:
    return next(checkout.path.glob(".cache/postgres/*/data")) / "postmaster.pid"


def test_processes_that_start_at_once_share_one_server(fresh_checkout: Checkout) -> None:
    users = [use(fresh_checkout) for _ in range(5)]
    assert len({server_of(user) for user in users}) == 1
    for user in users:
        leave(user)
    assert not fresh_checkout.postgres()


def test_the_server_stays_while_anybody_uses_it(checkout: Checkout) -> None:
    first = use(checkout)
    server = server_of(first)
    second = use(checkout)
    assert server_of(second) == server
    leave(first)
    third = use(checkout)
    assert server_of(third) == server
    leave(second)
    leave(third)
    assert not checkout.postgres()


def test_the_server_goes_with_a_last_user_that_is_killed(checkout: Checkout) -> None:
    user = use(checkout)
    server_of(user)
    user.kill()
    wait_until_stopped(checkout)


def test_a_forked_child_is_a_user_too(checkout: Checkout) -> None:
    parent = use(checkout, FORKING_USER)
    server = server_of(parent)
    assert parent.wait(60) == 0
    other = use(checkout)
    assert server_of(other) == server
    leave(other)
    assert checkout.postgres()
    parent.communicate("\n")
    wait_until_stopped(checkout)


def test_a_killed_server_is_started_again_with_its_data(checkout: Checkout) -> None:
    user = use(checkout)
    before = server_of(user)
    kill_server(checkout)
    user.kill()
    again = use(checkout)
    assert server_of(again) != before
    leave(again)


def test_a_user_whose_server_was_killed_finds_a_new_one(checkout: Checkout) -> None:
    user = use(checkout, USER.replace("sys.stdin.readline()", "sys.stdin.readline()\n" + USER))
    before = server_of(user)
    kill_server(checkout)
    assert user.stdin is not None
    user.stdin.write("\n")
    user.stdin.flush()
    assert server_of(user) != before
    leave(user)


def test_a_process_id_that_is_somebody_elses_by_now_stops_nobody(checkout: Checkout) -> None:
    leave(use(checkout))
    pid_file(checkout).write_text(f"{os.getpid()}\n{pid_file(checkout).parent}\n1\n5432\n\n\n\nready\n")
    leave(use(checkout))
    assert not checkout.postgres()


def test_data_that_was_left_half_made_is_made_anew(fresh_checkout: Checkout) -> None:
    user = use(fresh_checkout)
    drafts = fresh_checkout.path / ".cache" / "postgres"
    while not list(drafts.glob("*/draft-*/data/global")):
        assert user.poll() is None, user.communicate()
    user.kill()
    leave(use(fresh_checkout))
    assert pid_file(fresh_checkout).parent.exists()


def test_a_path_too_long_for_a_socket_is_no_obstacle(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout("/".join(["deep" * 12] * 4))
    leave(use(checkout))
    assert not checkout.postgres()


def test_a_path_with_blanks_and_quotes_is_no_obstacle(make_checkout: MakeCheckout) -> None:
    leave(use(make_checkout("it's my, own checkout")))


def test_only_who_knows_the_password_gets_in(checkout: Checkout) -> None:
    outsider = USER.replace(
        'postgres.ensure_running().url("somabrain")',
        'postgres.ensure_running().url("somabrain"), password="guess"',
    )
    refused = checkout.run("-c", outsider)
    assert "password authentication failed" in refused.stderr
    assert pid_file(checkout).parent.stat().st_mode & 0o077 == 0


def test_clean_stops_the_server_whoever_uses_it(checkout: Checkout) -> None:
    user = use(checkout)
    server_of(user)
    assert checkout.run("-m", "somabrain.embedded.clean").returncode == 0
    assert not checkout.postgres()


def test_a_signal_to_everyone_leaves_no_server(checkout: Checkout) -> None:
    users = [use(checkout) for _ in range(2)]
    for user in users:
        server_of(user)
    for user in users:
        user.send_signal(signal.SIGTERM)
    wait_until_stopped(checkout)


@pytest.mark.parametrize("command", ["--help", "check"])
def test_a_command_that_needs_no_database_starts_none(fresh_checkout: Checkout, command: str) -> None:
    assert fresh_checkout.run("manage.py", command).returncode == 0
    assert not (fresh_checkout.path / ".cache" / "postgres").exists()


def test_django_works_on_it(checkout: Checkout) -> None:
    done = checkout.run("manage.py", "migrate", "outbox")
    assert done.returncode == 0, done.stderr
    shown = checkout.run("manage.py", "showmigrations", "outbox")
    assert "[X] 0001_initial" in shown.stdout
    assert not checkout.postgres()
