"""Django settings of one prefix, read as a typed and frozen dataclass. For any app: it knows none.

A setting is a Django setting of the same name; a string, as the environment gives it, is parsed.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    S = TypeVar("S", bound=DataclassInstance)
else:
    S = TypeVar("S")
E = TypeVar("E", bound=Exception)
Made = TypeVar("Made", bound=Exception, covariant=True)

_KINDS = {int: "whole number", float: "number", str: "text"}
_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class Problem(Protocol[Made]):
    """Makes the app's own error of a setting, its value and the reason."""

    def __call__(self, name: str, value: Any, reason: str) -> Made: ...


class InvalidValue(ImproperlyConfigured):
    """A setting or a variable cannot be used. For those that hold no secret: the value is shown."""

    def __init__(self, name: str, value: Any, reason: str) -> None:
        super().__init__(name, value, reason)
        self.name = name
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}: {self.reason}."


class Unusable(Exception):
    """A value cannot be what it has to be; says why, and not what it is."""


class TypedSettings(Generic[S, E]):
    """Reads `kind`, whose fields are the settings after `prefix`, once and again after a test has changed one."""

    def __init__(
        self,
        kind: type[S],
        *,
        prefix: str,
        problem: Problem[E],
        out_of_bounds: Callable[[int | float, Mapping[str, Any]], str | None],
        contradictions: Callable[[S], list[E]],
    ) -> None:
        """`out_of_bounds`: what is wrong with a number, given its field's metadata."""
        self._kind = kind
        self._prefix = prefix
        self._problem = problem
        self._out_of_bounds = out_of_bounds
        self._contradictions = contradictions
        self._read: S | None = None
        setting_changed.connect(self._forget)

    def get(self) -> S:
        """The settings as they stand. Raises the first problem."""
        if self._read is None:
            for problem in self.problems():
                raise problem
            self._read = self._kind(**{each.name: self._value(each) for each in fields(self._kind)})
        return self._read

    def problems(self) -> list[E]:
        """Everything wrong with the settings, not only the first."""
        found = list(self._unknown())
        values: dict[str, Any] = {}
        for each in fields(self._kind):
            try:
                values[each.name] = self._value(each)
            except Unusable as error:
                name = self.name(each)
                found.append(self._problem(name, self._given(each), str(error)))
        return found or self._contradictions(self._kind(**values))

    def name(self, each: Field[Any]) -> str:
        """The name under which a field stands in Django settings and in the environment."""
        return self._prefix + each.name.upper()

    def _forget(self, *, setting: str, **_: Any) -> None:
        if setting.startswith(self._prefix):
            self._read = None

    def _unknown(self) -> Iterator[E]:
        known = {self.name(each) for each in fields(self._kind)}
        for name in dir(django_settings):
            if name.startswith(self._prefix) and name not in known:
                reason = f"no such setting; known are {', '.join(sorted(known))}"
                yield self._problem(name, getattr(django_settings, name), reason)

    def _given(self, each: Field[Any]) -> Any:
        return getattr(django_settings, self.name(each), each.default)

    def _value(self, each: Field[Any]) -> Any:
        value = parse(self._given(each), self._types[each.name])
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and (reason := self._out_of_bounds(value, each.metadata)):
            raise Unusable(reason)
        return value

    @cached_property
    def _types(self) -> Mapping[str, Any]:
        return typing.get_type_hints(self._kind)


def parse(raw: Any, wanted: Any) -> Any:
    """A value of that type, from one or from a string as the environment gives it. Raises `Unusable`."""
    if typing.get_origin(wanted) is tuple:
        return _texts(raw)
    kinds = typing.get_args(wanted)
    if type(None) in kinds:
        if raw is None or raw == "":
            return None
        wanted = next(kind for kind in kinds if kind is not type(None))
    elif kinds:
        # One of several types: whoever uses it examines it.
        return raw
    if wanted is bool:
        return _boolean(raw)
    if issubclass(wanted, StrEnum):
        return _choice(raw, wanted)
    if isinstance(raw, bool) or (wanted is str and not isinstance(raw, str)):
        raise Unusable(f"must be a {_KINDS[wanted]}")
    try:
        value = wanted(raw)
    except (OverflowError, TypeError, ValueError) as error:
        raise Unusable(f"must be a {_KINDS[wanted]}") from error
    if wanted is int and isinstance(raw, float) and raw != value:
        raise Unusable("must be a whole number")
    return value


def _texts(raw: Any) -> tuple[str, ...]:
    """A list, or as the environment has it: one text with commas."""
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise Unusable("must be a list of texts, or one text with commas between them")
    return tuple(part.strip() for part in parts if part.strip())


def _boolean(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    try:
        return _WORDS[str(raw).strip().lower()]
    except KeyError:
        raise Unusable("must be true or false") from None


def _choice(raw: Any, wanted: type[StrEnum]) -> StrEnum:
    try:
        return wanted(str(raw).strip().lower())
    except ValueError:
        raise Unusable(f"must be {' or '.join(wanted)}") from None
