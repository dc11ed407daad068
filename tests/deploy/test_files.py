"""What stands in deploy/ is understood by those it is for."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from somabrain.embedded.paths import CHECKOUT
from tests.support.processes import clean_environment

DEPLOY = CHECKOUT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


def _example() -> dict[str, str]:
    lines = (DEPLOY / "environment.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _edited() -> dict[str, str]:
    """The example as somebody deploys it, who does what its comment about secrets says."""
    made = re.findall(r"^#\s+python3 -c '(.*)'$", (DEPLOY / "environment.example").read_text(), re.MULTILINE)
    assert len(made) == 1
    secrets = {
        name: subprocess.run([sys.executable, "-c", made[0]], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("SECRET_KEY", "METRICS_TOKEN")
    }
    return {**_example(), **secrets}


def _service(unit: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    assert parser["Install"]["WantedBy"] == "multi-user.target"
    return parser["Service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_stops_its_main_process_first_and_starts_again(unit: Path) -> None:
    service = _service(unit)
    assert (service["KillMode"], service["Restart"]) == ("mixed", "always")
    assert service["EnvironmentFile"] == "/etc/somabrain/environment"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        assert _service(unit)["ExecStart"].startswith("/")
        return
    here = tmp_path / unit.name
    text = re.sub(r"/srv/somabrain/\.venv/bin/\w+", sys.executable, unit.read_text())
    here.write_text(text.replace("=somabrain\n", "=root\n"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", here],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_relays_have_time_to_drain_and_tasks_to_end() -> None:
    from django.conf import settings

    service = _service(DEPLOY / "somabrain-qcluster.service")
    assert int(service["TimeoutStopSec"]) >= settings.Q_CLUSTER["timeout"] + 30


def _gunicorn(*options: str, multiprocess: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As the unit starts it."""
    program, *arguments = _service(DEPLOY / "somabrain-web.service")["ExecStart"].split()
    directory = {"PROMETHEUS_MULTIPROC_DIR": str(multiprocess)}
    return subprocess.run(
        [Path(sys.executable).with_name(Path(program).name), *options, *arguments],
        cwd=CHECKOUT,
        env={**clean_environment(), **_edited(), **directory, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_gunicorn_can_load_the_service_as_the_unit_says(tmp_path: Path) -> None:
    """Neither the database nor the broker of the example exists, so what is checked asks neither."""
    done = _gunicorn("--check-config", multiprocess=tmp_path)
    assert done.returncode == 0, done.stderr


def test_gunicorn_does_not_start_with_settings_that_cannot_work_and_says_so_in_a_line_each(tmp_path: Path) -> None:
    wrong = {"OUTBOX_BATCH_SIZE": "0", "CIRCUITS_FAILURE_THRESHOLD": "0", "MEMORY_TIMEOUT": "0"}
    done = _gunicorn(multiprocess=tmp_path, WEB_BIND="127.0.0.1:0", WEB_WORKERS="1", **wrong)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if ".E001:" in line]
    assert {line.partition(".E001: ")[2] for line in lines} == {
        "OUTBOX_BATCH_SIZE='0': must be at least 1.",
        "CIRCUITS_FAILURE_THRESHOLD='0': must be at least 1.",
        "MEMORY_TIMEOUT='0': must be above 0 and at most 600.",
    }


def test_gunicorn_may_be_started_from_elsewhere(tmp_path: Path) -> None:
    given = {**clean_environment(), **_edited()}
    del given["PYTHONPATH"]
    gunicorn = Path(sys.executable).with_name("gunicorn")
    options = ["--check-config", f"--chdir={CHECKOUT}", f"--config={DEPLOY}/gunicorn.conf.py", "somabrain.wsgi"]
    done = subprocess.run([gunicorn, *options], cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("WEB_WORKERS", "many", "WEB_WORKERS='many': must be a whole number."),
        ("WEB_WORKERS", "0", "WEB_WORKERS='0': must be at least 1."),
        ("WEB_BIND", "8000", "WEB_BIND='8000': must be host:port, such as 127.0.0.1:8000, or unix:/run/web.sock."),
        ("QCLUSTER_WORKERS", "0", "QCLUSTER_WORKERS='0': must be at least 1."),
        ("DATABASE_URL", "postgresql://ann:hunter2/hunter2@db/shop", "DATABASE_URL cannot be understood: write "),
    ],
)
def test_gunicorn_says_in_one_line_which_variable_it_cannot_read(
    tmp_path: Path, name: str, value: str, line: str
) -> None:
    done = _gunicorn(multiprocess=tmp_path, **{name: value})
    assert done.returncode != 0
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"Error: {line}")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "addresses", ["0.0.0.0:80", ":8000", "[::1]:8000", "unix:/run/web.sock", "fd://3", "tcp://localhost:1, unix:web"]
)
def test_gunicorn_listens_wherever_it_can(tmp_path: Path, addresses: str) -> None:
    done = _gunicorn("--check-config", multiprocess=tmp_path, WEB_BIND=addresses)
    assert done.returncode == 0, done.stderr


def test_the_example_is_a_production() -> None:
    """Its database does not exist, so nothing that asks it is run."""
    program = (
        "import django; django.setup(); from django.conf import settings as s; print(s.DEBUG, s.SECURE_SSL_REDIRECT)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**clean_environment(), **_edited(), "DJANGO_SETTINGS_MODULE": "somabrain.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_an_untouched_example_does_not_start_and_says_what_to_set(tmp_path: Path) -> None:
    wrong = {name: _example()[name] for name in ("SECRET_KEY", "METRICS_TOKEN")}
    done = _gunicorn(multiprocess=tmp_path, **wrong)
    assert done.returncode != 0
    (said,) = done.stderr.splitlines()
    assert "SECRET_KEY contains change-me, METRICS_TOKEN contains change-me. This makes one: python3 -c" in said


def test_the_example_names_only_variables_that_exist() -> None:
    described = (CHECKOUT / "docs" / "reference" / "settings.md").read_text()
    unknown = [name for name in _example() if f"`{name}`" not in described and not name.startswith("KAFKA_")]
    assert unknown == []
