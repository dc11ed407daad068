"""The reference leaves nothing out, and names nothing that is not there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import circuits.api
import outbox.api
import somabrain.memory
from docs._ext import commands, metrics, settings
from outbox.kafka import config as kafka
from somabrain.embedded.paths import CHECKOUT
from tests.docs.pages import DOCS, links
from tests.support.processes import clean_environment

REFERENCE = DOCS / "reference"
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def _rows(page: Path) -> dict[str, list[str]]:
    """The rows of a page's tables, by what stands in backticks in the first cell."""
    cells = (line.strip("| ").split(" | ") for line in page.read_text().splitlines() if line.startswith("| `"))
    return {row[0].strip("`"): row for row in cells}


def _environment_of_service() -> dict[str, str | None]:
    """Names that the service and its deployment ask the environment for, with their literal defaults."""
    found: dict[str, str | None] = {}
    for source in (path for place in ("somabrain", "deploy") for path in (CHECKOUT / place).rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and (name := _asked_for(node)):
                found[name] = _default(node) or found.get(name)
    return found


def _asked_for(call: ast.Call) -> str | None:
    owner, _, verb = ast.unparse(call.func).rpartition(".")
    if owner not in ("env", "os.environ") or verb == "setdefault" or not call.args:
        return None
    name = getattr(call.args[0], "value", None)
    return name if isinstance(name, str) and _VARIABLE.fullmatch(name) else None


def _default(call: ast.Call) -> str | None:
    given = next((each.value for each in call.keywords if each.arg == "default"), None)
    return str(given.value) if isinstance(given, ast.Constant) and given.value not in ("", None) else None


def test_every_variable_of_the_service_is_in_the_table() -> None:
    checks = {
        f"{app}.{kind}00{number}"
        for app in ("outbox", "circuits", "memory")
        for kind in "EW"
        for number in range(1, 10)
    }
    described = _rows(REFERENCE / "settings.md").keys() - checks
    required = {"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_*"}
    assert described == _environment_of_service().keys() | required


def test_defaults_in_the_table_are_those_of_the_code() -> None:
    described = _rows(REFERENCE / "settings.md")
    defaults = {name: default for name, default in _environment_of_service().items() if default}
    assert defaults
    assert {name: described[name][1].strip("`") for name in defaults} == defaults


def test_every_setting_of_the_apps_is_added_to_the_table() -> None:
    assert [row.split("|")[1].strip(" `") for row in settings.rows()] == settings.names()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_no_page_names_a_setting_that_does_not_exist(page: Path) -> None:
    known = {*settings.names(), *somabrain.memory.__all__}
    assert set(re.findall(r"(?:OUTBOX|CIRCUITS)_[A-Z_]+[A-Z]", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_every_command_is_described() -> None:
    described = set(re.findall(r"^```\{command\} (\w+)$", (REFERENCE / "commands.md").read_text(), re.MULTILINE))
    assert described == commands.ours()


def test_every_target_of_make_is_described() -> None:
    targets = re.findall(r"^([a-z]+):.*## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert {name.removeprefix("make ") for name in _rows(REFERENCE / "commands.md")} == set(targets)


def test_every_bench_that_the_readme_names_exists() -> None:
    named = re.findall(r"--only (\w+)", (CHECKOUT / "README.md").read_text())
    assert named
    assert set(named) <= {path.stem for path in (CHECKOUT / "bench" / "scenarios").glob("*.py")}


def test_everything_in_the_api_is_described() -> None:
    page = (REFERENCE / "api.md").read_text()
    for module in (outbox.api, circuits.api, somabrain.memory):
        described = set(re.findall(rf":: {re.escape(module.__name__)}\.(\w+)", page))
        assert described == set(module.__all__)


def test_metrics_to_watch_exist() -> None:
    exposed = {metrics.exposed_name(each) for each in metrics.families()}
    named = set(re.findall(r"`((?:outbox|circuits|memory)_\w+)`", (REFERENCE / "metrics.md").read_text()))
    assert named
    assert named <= exposed


def test_every_value_of_kafka_that_is_refused_is_described() -> None:
    page = (DOCS / "how-to" / "configure-kafka.md").read_text()
    assert [name for name, _, _ in kafka._RULES if f"`{name}`" not in page] == []


def test_every_value_of_kafka_that_is_set_is_described() -> None:
    page = (DOCS / "how-to" / "configure-kafka.md").read_text()
    shown = {name: str(value).lower() if isinstance(value, bool) else value for name, value in kafka._DEFAULTS.items()}
    quiet = {"log.connection.close"}
    assert [name for name, value in shown.items() if f"`{name}={value}`" not in page and name not in quiet] == []


def test_the_documentation_builds_without_a_warning_and_without_a_network(tmp_path: Path) -> None:
    """A proxy that nobody is behind stands for the missing network."""
    nowhere = "http://127.0.0.1:9"
    environment = {**clean_environment(), "http_proxy": nowhere, "https_proxy": nowhere, "DEBUG": "true"}
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path / "html")],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "index.html").exists()
