"""What a circuit costs: the call through a closed one, and what many processes ask the database together."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable

import psycopg
import pybreaker
from django.db import connections

from bench.callers import NAME, TENANT, callers, said
from bench.report import Figure, at_most
from bench.rounds import Options
from bench.servers import Servers
from circuits.api import Circuit
from circuits.operations import steering
from circuits.process import process

_CALLS = 200_000
_PROCESSES = 16
_SECONDS = 10.0
# The server adds up what its sessions have done once a second.
_FLUSH_SECONDS = 1.5


def run(servers: Servers, options: Options) -> list[Figure]:
    """In this process, the ways in turn; then with sixteen processes on one circuit."""
    costs: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for name, way in _ways().items():
            costs.setdefault(name, []).append(_microseconds(way, options.shortened(_CALLS)))
        print("    " + ", ".join(f"{name} {taken[-1]:.3f} us" for name, taken in costs.items()), flush=True)
    statements, seen = _together(servers, options)
    process.close()
    connections.close_all()
    return [
        Figure(what="guard: a bare call, us", samples=costs["bare"]),
        Figure(key="guard_us", what="guard: with circuit.call(), us", samples=costs["call"], asked=at_most(5)),
        Figure(key="guard_function_us", what="guard: guarded function, us", samples=costs["guard"], asked=at_most(5)),
        Figure(key="pybreaker_us", what="guard: pybreaker in memory, us", samples=costs["pybreaker"]),
        Figure(
            key="guard_statements",
            what=f"guard: statements/s of {_PROCESSES} processes",
            samples=statements,
            asked=at_most(50),
        ),
        Figure(
            key="guard_seen_ms",
            what=f"guard: until the last of {_PROCESSES} knows it is open, ms",
            samples=seen,
            asked=at_most(100),
        ),
    ]


def _ways() -> dict[str, Callable[[], object]]:
    circuit = Circuit(tenant_id=TENANT, name="alone")
    breaker = pybreaker.CircuitBreaker()

    def bare() -> None:
        pass

    def call() -> None:
        with circuit.call():
            bare()

    return {"bare": bare, "call": call, "guard": circuit.guard(bare), "pybreaker": breaker(bare)}


def _microseconds(way: Callable[[], object], calls: int) -> float:
    way()
    return timeit.timeit(way, number=calls) / calls * 1e6


def _together(servers: Servers, options: Options) -> tuple[list[float], list[float]]:
    """Statements a second while all is well, and how long until all know that it is not."""
    statements: list[float] = []
    seen: list[float] = []
    with callers(servers, count=_PROCESSES) as started:
        for number in range(options.rounds):
            statements.append(_statements(servers, seconds=options.shortened(int(_SECONDS * 10)) / 10))
            began = time.time()
            steering.force_open(tenant_id=TENANT, name=NAME, by="bench", reason="to see who sees it")
            noticed = [float(said(each, "refused", times=number + 1)[-1]) for each in started]
            seen.append((max(noticed) - began) * 1_000)
            steering.reset(tenant_id=TENANT, name=NAME, by="bench", reason="again")
            print(f"    {statements[-1]:.1f} statements/s, seen after {seen[-1]:.1f} ms", flush=True)
            time.sleep(_FLUSH_SECONDS)
    return statements, seen


def _statements(servers: Servers, *, seconds: float) -> float:
    """All statements on the database, each a transaction of its own, but for ours."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        time.sleep(_FLUSH_SECONDS)
        before, began = _transactions(connection), time.monotonic()
        time.sleep(seconds)
        return (_transactions(connection) - before - 1) / (time.monotonic() - began)


def _transactions(connection: psycopg.Connection[tuple[int]]) -> int:
    statement = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
