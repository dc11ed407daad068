"""Fixtures for every test: the test database, brokers, and processes of the service."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, Protocol

import hypothesis
import psutil
import psycopg
import pytest
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from psycopg import sql
from pytest_django import DjangoDbBlocker

import outbox
from somabrain.embedded import kafka, postgres
from somabrain.embedded.cluster import Cluster
from somabrain.embedded.kafka import KafkaBroker
from somabrain.embedded.paths import CACHE
from tests.proofs.sizes import FULL
from tests.support import database, downloads, emptying, leftovers, postgres15
from tests.support.mock_cluster import MockCluster
from tests.support.need import need
from tests.support.processes import ManageProcess

TESTS = Path(__file__).parent
_LONG = ("browser", "docs", "proofs", "somabrain")
_MEASURED = "outbox"
_DATABASE_PREFIX = "test_somabrain_"
_COVERAGE_OF_PROCESSES = "COVERAGE_PROCESS_CONFIG"

hypothesis.settings.register_profile(
    "default",
    deadline=None,
    database=hypothesis.database.DirectoryBasedExampleDatabase(CACHE / "hypothesis"),
)
hypothesis.settings.load_profile("default")


def pytest_configure() -> None:
    """A shell's background jobs ignore SIGINT, and so would every process that a test starts and interrupts.

    A broker that lives for seconds is not worth compiling for.
    """
    if not FULL:
        os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before a run of all tests, by the one process that starts the others. A few tests fetch what they need."""
    everything = os.environ.get("CI") or session.config.getoption("numprocesses", None)
    if everything and not hasattr(session.config, "workerinput"):
        downloads.fetch()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a server is marked for it, so that `-m "not kafka"` means what it says."""
    needs = {"real_kafka": "kafka", "start_kafka": "kafka", "pg15_server": "pg15"}
    for item in items:
        for name in needs.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(needs[name])
    # In whatever order otherwise; at the end one process would wait for another that is still at a long file.
    items.sort(key=lambda item: _part(item) not in _LONG)


def _part(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What modules of the outbox do when they are imported is measured, and not what those of all tests do."""
    if _coverage(session.config) is not None:
        for module in walk_packages(outbox.__path__, "outbox."):
            import_module(module.name)
    with _unmeasured(session.config):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage is that of the outbox by its own tests; watching all others would take minutes."""
    with nullcontext() if _part(item) == _MEASURED else _unmeasured(item.config):
        return (yield)


def _coverage(config: pytest.Config) -> Any:
    """What measures it in this process, if anything does."""
    return getattr(config.pluginmanager.getplugin("_cov"), "cov_controller", None)


@contextmanager
def _unmeasured(config: pytest.Config) -> Iterator[None]:
    """In this process and in those that are started meanwhile."""
    controller = _coverage(config)
    if controller is None:
        yield
        return
    controller.pause()
    processes = os.environ.pop(_COVERAGE_OF_PROCESSES, None)
    try:
        yield
    finally:
        if processes is not None:
            os.environ[_COVERAGE_OF_PROCESSES] = processes
        controller.resume()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """What a session or thread of its own commits is not undone with a test's transaction, and the next finds it."""
    result = yield
    for thread in threading.enumerate():
        # It counts for whoever looked at figures that were old, and writes when it has.
        if thread.name == "outbox-count":
            thread.join(60)
    if (nextitem is None or nextitem.path != item.path) and (left := leftovers.remove()):
        pytest.fail(f"{item.path.name} leaves rows behind in {', '.join(left)}; mark what commits transaction=True")
    return result


@receiver(connection_created)
def _let_tests_flush(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """The log of operators' actions refuses to be emptied, as tests of transactions do with every table."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET outbox.may_truncate_operator_actions = 'on'")


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A database for each run, so that several runs may share a server."""
    _drop_databases_of_dead_runs()
    for each in settings.DATABASES.values():
        each.setdefault("TEST", {})["NAME"] = f"{_DATABASE_PREFIX}{os.getpid()}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        emptying.begin()


def _drop_databases_of_dead_runs() -> None:
    if settings.DATABASES["default"]["ENGINE"] != "somabrain.embedded.database":
        return
    with psycopg.connect(postgres.ensure_running().url("postgres"), autocommit=True) as connection:
        databases = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        for (name,) in connection.execute(databases, [_DATABASE_PREFIX]).fetchall():
            if not psutil.pid_exists(int(name.removeprefix(_DATABASE_PREFIX))):
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                connection.execute(drop.format(sql.Identifier(name)))


class StartManage(Protocol):
    def __call__(self, *arguments: str, env: dict[str, str] | None = None) -> ManageProcess: ...


@pytest.fixture
def start_manage(tmp_path: Path, service_environment: dict[str, str]) -> Iterator[StartManage]:
    """Start `manage.py` with these arguments on the test database; killed with all its children at the end.

    `env` adds to the environment, such as `KAFKA_BOOTSTRAP_SERVERS`.
    """
    with ExitStack() as started:

        def start(*arguments: str, env: dict[str, str] | None = None) -> ManageProcess:
            log = tmp_path / f"manage-{len(list(tmp_path.glob('manage-*')))}.log"
            process = ManageProcess(*arguments, log=log, environment={**service_environment, **(env or {})})
            started.callback(process.kill)
            return process

        yield start


@pytest.fixture
def service_environment(transactional_db: None) -> dict[str, str]:
    """The environment in which a process of the service works on the test database."""
    return {"DATABASE_URL": database.url(), "DEBUG": "true"}


@pytest.fixture
def collector() -> Iterator[None]:
    """Python's search for cycles goes on as before when a relay in this process has made it rarer."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.fixture
def mock_cluster() -> Iterator[MockCluster]:
    """A Kafka of this test's own, in memory, that can be told to fail."""
    with MockCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real broker, shared by all tests of a run: use topics of your own, and leave it running."""
    broker = need(lambda: kafka.start(data_dir=tmp_path_factory.mktemp("kafka")))
    yield broker
    broker.stop()


@pytest.fixture
def start_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., KafkaBroker]]:
    """Start a real broker that the test may kill, with the arguments of `kafka.start`; stopped at the end."""
    with ExitStack() as started:

        def start(**arguments: Any) -> KafkaBroker:
            broker = need(lambda: kafka.start(data_dir=tmp_path_factory.mktemp("kafka"), **arguments))
            started.callback(broker.kill)
            return broker

        yield start


@pytest.fixture(scope="session")
def pg15_server() -> Iterator[Cluster]:
    """A PostgreSQL 15 beside the embedded server."""
    # Not below pytest's own directories, which no other user can enter: under root, PostgreSQL runs as one.
    directory = Path(tempfile.mkdtemp(prefix="somabrain-"))
    cluster = Cluster(binaries=need(postgres15.binaries), directory=directory)
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(directory)
