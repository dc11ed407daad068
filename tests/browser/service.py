"""The service as it is deployed: a web server, a broker, and workers that publish and run jobs."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import database, patience
from tests.support.mock_cluster import MockCluster
from tests.support.processes import ManageProcess

_ADDRESS = re.compile(r"server at (http://127\.0\.0\.1:\d+)/")


class Service:
    """Real processes on the test database, and a Kafka in memory that can be told to fail."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started = ExitStack()
        self._count = 0
        self.kafka = self._started.enter_context(MockCluster())
        web = self.start("runserver", "--noreload", "--skip-checks", "127.0.0.1:0")
        found = _ADDRESS.search(web.wait_for_output("Quit the server"))
        assert found is not None, web.output()
        self.url = found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._started.close()

    def start(self, *arguments: str, **environment: str) -> ManageProcess:
        """`manage.py` with one more command, killed at the end."""
        self._count += 1
        settings = {
            "DATABASE_URL": database.url(),
            "DEBUG": "true",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "PYTHONUNBUFFERED": "1",
            "CIRCUITS_CONSOLE_TIMEOUT": str(patience.SECONDS),
        }
        log = self._directory / f"{self._count}-{arguments[0]}.log"
        process = ManageProcess(*arguments, log=log, environment={**settings, **environment})
        self._started.callback(process.kill)
        return process

    def start_workers(self) -> ManageProcess:
        """What publishes, in a worker of django-q2 that also runs jobs."""
        return self.start("qcluster", QCLUSTER_WORKERS="1")
