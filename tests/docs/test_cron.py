"""The script for cron, run as cron would: every exit code that the page names."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import transaction

from outbox.api import enqueue
from outbox.models import OutboxEvent, TenantPolicy
from somabrain.embedded.paths import CHECKOUT
from tests.docs.pages import DOCS, blocks
from tests.support.mock_cluster import MockCluster
from tests.support.processes import clean_environment
from tests.support.topics import event_ids

_PAGE = DOCS / "how-to" / "cron.md"
_HANG_SECONDS = 120

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def publish(tmp_path: Path, lock: Path, service_environment: dict[str, str], mock_cluster: MockCluster) -> Run:
    """Run the page's script, on this checkout and test database."""
    script = next(block.text for block in blocks(_PAGE) if block.language == "sh")
    here = {"/srv/shop\n": f"{CHECKOUT}\n", "/run/lock/shop-outbox": str(lock), "venv/bin/python": sys.executable}
    environment = {
        **clean_environment(),
        **service_environment,
        "KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers,
        "LOG_LEVEL": "WARNING",
    }

    def run(**replaced: str) -> subprocess.CompletedProcess[str]:
        text = script
        for theirs, ours in {**here, **replaced}.items():
            assert theirs in text
            text = text.replace(theirs, ours)
        file = tmp_path / "publish.sh"
        file.write_text(text)
        return subprocess.run(
            ["sh", file], env=environment, capture_output=True, text=True, timeout=_HANG_SECONDS, check=False
        )

    return run


def _commit() -> int:
    with transaction.atomic():
        return enqueue(topic="orders", payload={}, tenant_id="acme").event_id


def test_it_publishes_what_is_due_and_says_nothing_that_cron_would_mail(
    publish: Run, mock_cluster: MockCluster
) -> None:
    event = _commit()
    done = publish()
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["published"] == 1
    assert event_ids(mock_cluster.bootstrap_servers, "orders") == [event]
    assert publish().returncode == 0


def test_it_says_what_is_left(publish: Run) -> None:
    _commit()
    TenantPolicy.objects.create(tenant_id="acme", paused=True, paused_by="ann", paused_reason="an audit")
    done = publish()
    assert done.returncode == 1
    assert "CommandError: Not everything is published: events of tenant 'acme' are due" in done.stderr


def test_it_leaves_the_run_before_alone(publish: Run, lock: Path) -> None:
    _commit()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = publish()
    assert (done.returncode, done.stdout, done.stderr) == (75, "", "")
    assert OutboxEvent.objects.pending().exists()


def test_it_ends_in_time(publish: Run, mock_cluster: MockCluster) -> None:
    mock_cluster.broker_down()
    _commit()
    assert publish(**{"timeout 300": "timeout 2"}).returncode == 124
    assert OutboxEvent.objects.pending().exists()


def test_every_line_of_the_crontab_is_one() -> None:
    lines = [line for block in blocks(_PAGE) if block.language == "text" for line in block.text.splitlines()]
    jobs = [line.split(maxsplit=5) for line in lines if "=" not in line.split()[0]]
    assert [len(job) for job in jobs] == [6, 6]
    assert all(part == "*" or part.isdecimal() for job in jobs for part in job[:5])
    assert Path(jobs[0][5].split()[1]).name == "publish.sh"
