"""Many events by COPY, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from django.db import IntegrityError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox import sql
from outbox.enqueueing.chunks import Chunk
from outbox.enqueueing.events import EnqueueManyResult
from outbox.enqueueing.insert import is_hidden_duplicate
from outbox.errors import DuplicateInFlight

# PostgreSQL keeps 64 subtransactions of a transaction at hand; one with more slows all other sessions down.
_MOST_SAVEPOINTS = 50


def write(connection: BaseDatabaseWrapper, chunks: Iterable[Chunk]) -> tuple[EnqueueManyResult, set[str]]:
    """Write all chunks and count; also names the tenants. The caller rolls back when anything fails.

    The next chunk is asked for between two statements and never during one: what yields the events may use the same
    connection.
    """
    created = duplicates = 0
    tenants: set[str] = set()
    writer = _Writer(connection)
    for chunk in chunks:
        written = writer.write(chunk)
        created += written
        duplicates += len(chunk.lines) - written
        tenants |= chunk.tenants()
    return EnqueueManyResult(created=created, duplicates=duplicates), tenants


class _Writer:
    """Copies straight into the table while no key is taken: about twice as fast as by way of a staging table."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._savepoints_left = _MOST_SAVEPOINTS
        self._collided = False

    def write(self, chunk: Chunk) -> int:
        """How many of the chunk's events were created."""
        if not chunk.delayed and not self._collided and self._savepoints_left and self._copy_at_once(chunk):
            return len(chunk.lines)
        created = self._stage(chunk)
        self._collided = created < len(chunk.lines)
        return created

    def _copy_at_once(self, chunk: Chunk) -> bool:
        """Whether none of the keys was taken; otherwise nothing is written."""
        self._savepoints_left -= 1
        try:
            with transaction.atomic(using=self._connection.alias):
                self._copy("copy_events", chunk)
        except IntegrityError as error:
            if not _is_duplicate(error):
                raise
            return False
        return True

    def _stage(self, chunk: Chunk) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(sql.load("stage"))
            self._copy("copy_staged", chunk)
            try:
                cursor.execute(sql.load("enqueue_staged"))
            except OperationalError as error:
                if is_hidden_duplicate(error):
                    raise DuplicateInFlight from error
                raise
            created: int = cursor.rowcount
            cursor.execute(sql.load("empty_stage"))
        return created

    def _copy(self, statement: str, chunk: Chunk) -> None:
        # Django translates the errors of its cursors' own methods only, and COPY is psycopg's.
        with (
            self._connection.wrap_database_errors,
            self._connection.cursor() as cursor,
            cursor.copy(sql.load(statement)) as copy,
        ):
            for piece in chunk.pieces():
                copy.write(piece)


def _is_duplicate(error: IntegrityError) -> bool:
    cause = error.__cause__
    return isinstance(cause, psycopg.errors.UniqueViolation) and cause.diag.constraint_name == "uq_outbox_tenant_dedupe"
