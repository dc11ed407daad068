"""The wheel in a project that knows nothing of this checkout, with the outbox in another database than its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.support import projects
from tests.support.mock_cluster import MockCluster
from tests.support.processes import clean_environment
from tests.support.topics import event_ids

_PAGE = DOCS / "how-to" / "install.md"

_ADMIN = """
import pytest
from django.apps import apps
from django.contrib import admin
from django.db import transaction
from django.urls import reverse
from outbox.api import enqueue

pytestmark = pytest.mark.django_db(databases=["default", "shop"])
MODELS = [model for model in admin.site._registry if model._meta.app_label in ("outbox", "circuits")]


@pytest.fixture(autouse=True)
def rows(transactional_db=None):
    from circuits.models import TenantCircuit
    from outbox.models import OutboxEvent, TenantPolicy
    with transaction.atomic(using="shop"):
        event = enqueue(topic="orders", payload={"id": 7}, tenant_id="acme")
    OutboxEvent.objects.filter(pk=event.event_id).update(status="failed")
    TenantPolicy.objects.create(tenant_id="acme")
    TenantCircuit.objects.create(tenant_id="acme", name="memory")


def test_all_models_are_there():
    assert {"OutboxEvent", "TenantPolicy", "TenantCircuit"} <= {model.__name__ for model in MODELS}
    assert {"outbox", "circuits"} == {model._meta.app_label for model in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_pages_answer(model, admin_client):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    # Whose staff somebody is stands beside the users.
    assert model._default_manager.db == ("default" if model.__name__ == "StaffTenantScope" else "shop")
    page = admin_client.get(reverse(f"{name}_changelist"), follow=True)
    assert page.status_code == 200
    for row in model._default_manager.all()[:1]:
        assert admin_client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


def test_the_index_has_the_overview_with_its_files(admin_client):
    from django.contrib.staticfiles import finders
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "Tenants, worst off first" in page
    assert "acme" in admin_client.get(reverse("admin:outbox_tenant_change", args=["acme"])).content.decode()
    for name in ("outbox/live.js", "outbox/console.css", "circuits/times.js", "circuits/console.css"):
        assert name in page
        assert finders.find(name)


def test_a_dead_letter_is_replayed_by_staff(admin_client):
    from outbox.models import OutboxEvent
    asked = {"action": "replay", "_selected_action": [OutboxEvent.objects.get().pk], "index": 0}
    page = admin_client.post(reverse("admin:outbox_outboxevent_changelist"), asked)
    assert page.status_code == 200, page.content
    assert "admin/outbox/" in [each.name for each in page.templates][0]


def test_what_is_enqueued_can_be_asserted(outbox):
    outbox.assert_enqueued(topic="orders", tenant_id="acme", payload={"id": 7}, count=1)
"""


class Project:
    """A project made by django-admin, in an environment with the wheel; `shop` has the outbox, `site` the rest."""

    def __init__(self, directory: Path, *, interpreter: Path, databases: dict[str, str], broker: str) -> None:
        self.directory = directory
        self._interpreter = interpreter
        self._own = {
            "127.0.0.1:9092": broker,
            **{f'"NAME": "{old}"': f'"NAME": "{new}"' for old, new in databases.items()},
        }
        foreign = {name: value for name, value in clean_environment().items() if not name.startswith(("PYTHON", "COV"))}
        self._environment = {**foreign, **projects.libpq()}
        directory.mkdir()
        self.python("-m", "django", "startproject", "shop", ".")
        for block in blocks(_PAGE):
            if block.text.startswith("# shop/settings.py"):
                self._append_to_settings(block.text)

    def python(self, *arguments: str, code: int = 0) -> str:
        """What a program prints, every warning an error."""
        command = [str(self._interpreter), "-W", "error", *arguments]
        return projects.run(command, cwd=self.directory, environment=self._environment, code=code)

    def manage(self, *arguments: str, code: int = 0) -> str:
        return self.python("manage.py", *arguments, code=code)

    def _append_to_settings(self, text: str) -> None:
        for theirs, ours in self._own.items():
            text = text.replace(theirs, ours)
        with (self.directory / "shop" / "settings.py").open("a") as settings:
            settings.write(text)


@pytest.fixture(scope="module")
def interpreter(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return projects.environment_with(wheel, directory=tmp_path_factory.mktemp("venv"))


@pytest.fixture
def project(interpreter: Path, tmp_path: Path, mock_cluster: MockCluster) -> Iterator[Project]:
    with ExitStack() as stack:
        names = {name: f"foreign_{name}_{os.getpid()}" for name in ("site", "shop")}
        for name in names.values():
            stack.enter_context(projects.database(name))
        yield Project(
            tmp_path / "project", interpreter=interpreter, databases=names, broker=mock_cluster.bootstrap_servers
        )


def test_whoever_installs_it_as_the_page_says_can_enqueue_and_publish(
    project: Project, mock_cluster: MockCluster
) -> None:
    for line in ("migrate", "migrate --database=shop", "check"):
        assert f"python manage.py {line}\n" in _PAGE.read_text()
        project.manage(*line.split())
    shell, metrics = (
        next(block.text for block in blocks(_PAGE) if block.text.startswith(name))
        for name in ("# shell", "# shop/metrics")
    )
    project.manage("shell", "--no-imports", "-c", shell)
    project.manage("shell", "--no-imports", "-c", f"{metrics}\nassert list(REGISTRY.collect())")
    summary = json.loads(project.manage("outbox", "relay", "--until-empty"))
    assert summary["published"] == 1
    assert event_ids(mock_cluster.bootstrap_servers, "orders") == [1]
    listed = json.loads(project.manage("outbox", "list", "--status", "sent", "--json"))
    assert (listed["tenant_id"], listed["topic"]) == ("acme", "orders")


def test_its_web_server_refuses_what_cannot_work(project: Project) -> None:
    (page,) = (block.text for block in blocks(_PAGE) if block.text.startswith("# shop/wsgi.py"))
    (project.directory / "shop" / "wsgi.py").write_text(page)
    project.python("-c", "import shop.wsgi")
    with (project.directory / "shop" / "settings.py").open("a") as settings:
        settings.write("OUTBOX_BATCH_SIZE = 0\n")
    project.python("-c", "import shop.wsgi", code=1)


def test_what_it_imports_is_the_wheel(interpreter: Path, tmp_path: Path) -> None:
    program = "import circuits, outbox; print(circuits.__file__, outbox.__file__)"
    environment = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}
    for place in projects.run([str(interpreter), "-c", program], cwd=tmp_path, environment=environment).split():
        assert Path(place).is_relative_to(interpreter.parent.parent)


def test_only_the_named_database_gets_tables_of_the_outbox(project: Project) -> None:
    project.manage("migrate", "outbox", "--database=default")
    program = "from django.db import connection; print('outbox_events' in connection.introspection.table_names())"
    assert project.manage("shell", "--no-imports", "-c", program) == "False\n"


def test_its_admin_and_its_tests_find_the_outbox(project: Project) -> None:
    (project.directory / "test_admin.py").write_text(_ADMIN)
    options = ("-p", "no:cacheprovider", "-p", "no:randomly", "--ds=shop.settings", "-q", "-rA")
    said = project.python("-m", "pytest", *options, "test_admin.py")
    assert "PASSED test_admin.py::test_pages_answer[OutboxEvent]" in said
    assert "PASSED test_admin.py::test_pages_answer[TenantCircuit]" in said
