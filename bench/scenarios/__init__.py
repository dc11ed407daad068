"""One question each: a module with a `run` that makes its own data and leaves none.

They are imported when they are run, since most of them need Django to be set up first.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from bench.report import Figure
from bench.rounds import Options
from bench.servers import Servers

Scenario = Callable[[Servers, Options], list[Figure]]

NAMES = (
    "drain",
    "single_tenant",
    "many_tenants",
    "two_relays",
    "latency",
    "quiet",
    "enqueue",
    "enqueue_many",
    "memory",
    "guard",
    "console",
)


def load(name: str) -> Scenario:
    """The scenario of that name."""
    return cast(Scenario, import_module(f"bench.scenarios.{name}").run)
