"""How long a statement of a transaction may take."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

# One statement, that tells what held before: the columns are worked out in their order.
_LOWER = """
SELECT current_setting('statement_timeout'), set_config('statement_timeout',
    CASE WHEN current_setting('statement_timeout')::interval BETWEEN interval '1 microsecond' AND %s::interval
         THEN current_setting('statement_timeout') ELSE %s END, true)
"""


def lower_statement_timeout(connection: BaseDatabaseWrapper, *, milliseconds: int) -> str:
    """To be called in a transaction, with which it ends. A limit that is lower already stays.

    Returns what held before, as PostgreSQL writes it.
    """
    limit = f"{milliseconds}ms"
    with connection.cursor() as cursor:
        cursor.execute(_LOWER, [limit, limit])
        ((before, _),) = cursor.fetchall()
    return str(before)


def set_statement_timeout(connection: BaseDatabaseWrapper, value: str) -> None:
    """For the rest of the transaction, as `lower_statement_timeout` returned it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [value])
