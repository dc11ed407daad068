from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.client import DatabaseClient as PostgresClient

from somabrain.embedded import postgres
from somabrain.embedded.cluster import USER


class DatabaseClient(PostgresClient):
    def runshell(self, parameters: Iterable[str]) -> None:
        self.connection.get_connection_params()
        super().runshell(parameters)


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        cluster = postgres.ensure_running()
        self.settings_dict.update(USER=USER, PASSWORD=cluster.password, HOST=str(cluster.socket_directory), PORT="")
        params: dict[str, Any] = super().get_connection_params()
        return params
