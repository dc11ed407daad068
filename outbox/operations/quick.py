"""Transactions of operators' questions: by index, and for no longer than a few seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connections, transaction

from circuits.timeouts import lower_statement_timeout

STATEMENT_TIMEOUT = timedelta(seconds=10)
AVOIDED = ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_sort", "jit")
"""An incremental sort, of events with one time, is none of these. And what cannot be avoided looks so costly that
PostgreSQL would compile it, which takes longer than to run it."""


@contextmanager
def quick(using: str) -> Iterator[None]:
    """A transaction whose statements go by index, whatever the statistics say, and end after ten seconds, or sooner if
    the transaction around it says so.

    Statistics may be from a time when scanning the table was cheap.
    """
    with transaction.atomic(using=using):
        lower_statement_timeout(connections[using], milliseconds=STATEMENT_TIMEOUT // timedelta(milliseconds=1))
        with connections[using].cursor() as cursor:
            cursor.execute("; ".join(f"SET LOCAL {name} = off" for name in AVOIDED))
        yield
