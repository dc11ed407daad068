"""How PostgreSQL goes about a statement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg

from tests.support.database import url


class Plan:
    """The nodes of a plan that was carried out and rolled back."""

    def __init__(self, explained: Any) -> None:
        document = json.loads(explained) if isinstance(explained, str) else explained
        self.nodes = list(_nodes(document[0]["Plan"]))

    def of_type(self, *types: str) -> list[dict[str, Any]]:
        return [node for node in self.nodes if node["Node Type"] in types]

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    def scans(self) -> list[str]:
        """Tables read as a whole."""
        return [node["Relation Name"] for node in self.of_type("Seq Scan", "Parallel Seq Scan")]

    def rows_read(self) -> float:
        """Most rows that any node read of a table, over all its loops."""
        read = [
            float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in self.nodes
            if "Relation Name" in node
        ]
        return max(read, default=0)

    def rows_sorted(self) -> float:
        """Most rows that a full sort was given; an incremental one sorts ties of created_at only."""
        return max((float(node["Plans"][0]["Actual Rows"]) for node in self.of_type("Sort")), default=0)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def plan(connection: psycopg.Connection[Any], statement: Any, params: Any = None) -> Plan:
    with connection.transaction(force_rollback=True):
        explained = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, params).fetchone()
    assert explained is not None
    return Plan(explained[0])


def application_plan(statement: str, params: Any, *, before: str = "") -> Plan:
    """In a session as the application has it, with PostgreSQL's own settings but for what is executed `before`."""
    with psycopg.connect(url(), cursor_factory=psycopg.ClientCursor) as application:
        application.execute(before.encode())
        return plan(application, statement, params)
