"""The database tables, from the models."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from django.db import connection, models

from circuits.models import CircuitTransition, TenantCircuit
from docs._ext.markdown import code, table
from outbox.models import (
    BacklogCount,
    MinuteCount,
    OperatorAction,
    OutboxAttempt,
    OutboxEvent,
    OutboxJob,
    OutboxLane,
    OutboxRelay,
    TenantBacklog,
    TenantPolicy,
)
from somabrain.models import QueuedWrite

MODELS: tuple[type[models.Model], ...] = (
    OutboxEvent,
    OutboxAttempt,
    OutboxLane,
    OutboxRelay,
    TenantPolicy,
    TenantBacklog,
    BacklogCount,
    MinuteCount,
    OutboxJob,
    OperatorAction,
    TenantCircuit,
    CircuitTransition,
    QueuedWrite,
)


def markdown() -> str:
    return "\n\n".join(part for model in MODELS for part in _parts(model))


def _parts(model: type[models.Model]) -> Iterator[str]:
    yield f"## `{model._meta.db_table}`"
    yield f"Model `{model.__name__}`. {cleandoc(model.__doc__ or '')}"
    yield table(["Column", "Type", "Meaning"], (_column(field) for field in model._meta.concrete_fields))
    rules = [*_constraints(model), *_indexes(model)]
    if rules:
        yield table(["Constraint or index", "On"], rules)


def _column(field: Any) -> list[str]:
    kind = field.db_parameters(connection)["type"] + ("" if field.null else ", not null")
    return [code(field.column), kind, field.help_text]


def _constraints(model: type[models.Model]) -> Iterator[list[str]]:
    for each in model._meta.constraints:
        if isinstance(each, models.UniqueConstraint):
            yield [code(each.name), f"unique: {_names(each.fields)}"]
        else:
            yield [code(each.name), "check"]


def _indexes(model: type[models.Model]) -> Iterator[list[str]]:
    for each in model._meta.indexes:
        where = f" where {_condition(each.condition)}" if each.condition else ""
        yield [code(each.name), f"index: {_names(each.fields)}{where}"]


def _names(fields: Any) -> str:
    return ", ".join(code(name) for name in fields)


def _condition(condition: Any) -> str:
    said = {"gt": "{} > {}", "exact": "{} = {}", "is": "{} is {}", "in": "{} in {}"}
    parts = []
    for child in condition.children:
        if isinstance(child, models.Q):
            parts.append(_condition(child))
            continue
        lookup, value = child
        name, _, operator = lookup.partition("__")
        if operator == "isnull":
            operator, value = "is", "null" if value else "not null"
        if operator == "in":
            value = ", ".join(value)
        parts.append(code(said[operator or "exact"].format(name, getattr(value, "value", value))))
    joined = f" {condition.connector.lower()} ".join(sorted(parts))
    return f"not {joined}" if condition.negated else joined
