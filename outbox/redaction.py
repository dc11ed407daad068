"""Which values of payloads and headers are nobody's business, and what is shown in their place.

A rule is a path, and may begin with a topic and a colon:

| rule | hides |
| --- | --- |
| `user.email` | `email` in the object `user` of the payload |
| `*.password` | `password` anywhere, at any depth, in the headers too: `*` is any number of steps |
| `items[].card` | `card` in each item of the list `items`; `items.card` means the same |
| `codes[]` | each item of `codes`, but not how many there are |
| `*token` | keys at the top that end in `token`: within a name, `*` is any text |
| `headers.x-user` | a header, and that key of an object `headers` in the payload |
| `orders:customer.*` | everything in `customer`, in events of the topic `orders`; `pay*:*` all of some topics |
| `"a.b"` | the key `a.b`: a name in double quotes is taken as it is |

Names are compared without regard to case, `-` and `_`, so that `apiKey`, `api_key` and `API-Key` are one name. Lists
are passed through: what is said of a key holds for each item of a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from outbox.errors import OutboxError

HEADERS = "headers"

DEFAULT = tuple(
    f"*.{name}"
    for name in (
        "*password*",
        "passwd",
        "passphrase",
        "*secret*",
        "*token",
        "authorization",
        "proxy_authorization",
        "cookie",
        "set_cookie",
        "*api_key",
        "*private_key",
        "credentials",
        "card_number",
        "cvc",
        "cvv",
        "pin",
        "iban",
        "ssn",
    )
)
"""To be added to: `OUTBOX_REDACT = [*DEFAULT, "user.email"]`."""

_TOPIC = re.compile(r"[A-Za-z0-9._*-]{1,249}")
_STEP = re.compile(r'"(?P<quoted>[^"]+)"|(?P<name>[^\s."\[\]:]+)')
_DEEPEST = 200

Path = tuple[str, ...]
"""Regular expressions of names, and the two signs below."""
_ANY, _ITEMS = "*", "[]"
"""Any number of steps; each item of a list, at the end of a path only."""


class InvalidRule(OutboxError):
    """A rule of what to hide cannot be understood."""


class Rule(NamedTuple):
    """A path that is hidden, in events of some topics."""

    topic: re.Pattern[str]
    path: Path

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Raises `InvalidRule`."""
        rule = text.strip()
        topic, path = rule.split(":", 1) if ":" in rule.split('"')[0] else ("*", rule)
        if not _TOPIC.fullmatch(topic):
            raise InvalidRule(f"{text!r}: before the colon stands a topic, of A-Z a-z 0-9 . _ - and * for any text")
        return cls(re.compile(_expression(topic)), tuple(_steps(path, text)))


class Redactor:
    """Hides what the rules name in the events of one topic. Raises `InvalidRule`."""

    def __init__(self, rules: Iterable[str], *, topic: str) -> None:
        paths = {rule.path for rule in _parsed(tuple(rules)) if rule.topic.fullmatch(topic)}
        self._payload = _place(frozenset(paths))
        anywhere = {path for path in paths if path[0] == _ANY}
        self._headers = _place(frozenset(anywhere) | self._payload.child(HEADERS).paths)

    def payload(self, value: Any) -> Any:
        """A copy with markers in place of what is hidden."""
        return _Walk().shown(value, self._payload, 0)

    def headers(self, value: Any) -> Any:
        """The same for an event's headers."""
        return _Walk().shown(value, self._headers, 0)


def marker(value: Any) -> str:
    """What is shown instead of a value: its type, and how long it is."""
    match value:
        case bool():
            return "[redacted: boolean]"
        case int() | float():
            return "[redacted: number]"
        case str():
            return f"[redacted: text of {_counted(len(value), 'character')}]"
        case dict():
            return f"[redacted: object of {_counted(len(value), 'key')}]"
        case list():
            return f"[redacted: list of {_counted(len(value), 'item')}]"
    return "[redacted: null]"


def problem(rules: Iterable[str]) -> str | None:
    """What is wrong with the first rule that cannot be understood."""
    for each in rules:
        try:
            Rule.parse(each)
        except InvalidRule as error:
            return str(error)
    return None


class _Place:
    """What the rules say of one place in a document. Knows nothing of any document."""

    def __init__(self, paths: frozenset[Path]) -> None:
        self.paths = paths
        self.is_hidden = () in paths
        self.items_are_hidden = (_ITEMS,) in paths
        self.all_below_is_hidden = (_ANY,) in paths
        self._named = [path for path in paths if path and path[0] not in (_ANY, _ITEMS)]
        self._names = re.compile("|".join(sorted({path[0] for path in self._named}))) if self._named else None

    def child(self, key: str) -> _Place:
        """Below a key of an object."""
        name = _plain(key)
        if self._names is None or not self._names.fullmatch(name):
            return self._otherwise
        found = {path[1:] for path in self._named if re.fullmatch(path[0], name)}
        return _place(self._otherwise.paths | found)

    @cached_property
    def item(self) -> _Place:
        """In a list, whose items are treated as the list itself would be."""
        return _place(frozenset(() if path == (_ITEMS,) else path for path in self.paths))

    @cached_property
    def _otherwise(self) -> _Place:
        """Below a key that no rule names."""
        deeper = {path for path in self.paths if path and path[0] == _ANY}
        return _place(frozenset(deeper | {()} if self.all_below_is_hidden else deeper))


class _Walk:
    """Through one document, whose keys are remembered as long: they repeat."""

    def __init__(self) -> None:
        self._below: dict[tuple[_Place, str], _Place] = {}

    def shown(self, value: Any, place: _Place, depth: int) -> Any:
        if not place.paths:
            return value
        if place.is_hidden or depth > _DEEPEST:
            return marker(value)
        if isinstance(value, list):
            item = place.item
            return [self.shown(each, item, depth + 1) for each in value]
        if place.items_are_hidden:
            # It was to be a list.
            return marker(value)
        if isinstance(value, dict):
            return {key: self.shown(each, self._child(place, key), depth + 1) for key, each in value.items()}
        return marker(value) if place.all_below_is_hidden else value

    def _child(self, place: _Place, key: str) -> _Place:
        found = self._below.get((place, key))
        if found is None:
            found = self._below[place, key] = place.child(key)
        return found


@lru_cache(maxsize=1_024)
def _place(paths: frozenset[Path]) -> _Place:
    """With what holds if a `*` stands for no step."""
    found = set(paths)
    for path in paths:
        if len(path) > 1 and path[0] == _ANY:
            found.add(path[1:])
    return _Place(frozenset(found))


@lru_cache(maxsize=8)
def _parsed(rules: tuple[str, ...]) -> tuple[Rule, ...]:
    return tuple(Rule.parse(each) for each in rules)


def _steps(path: str, text: str) -> Iterator[str]:
    """The parts of a path. Of `[]` and of `*` in a row only what makes a difference is left."""
    rest, last = path, ""
    while True:
        step = _STEP.match(rest)
        if step is None and (last or not rest.startswith(_ITEMS)):
            raise InvalidRule(f"{text!r}: a step is missing or wrong at {rest!r}; steps are names, * and [] with dots")
        if step is not None:
            rest, last = rest[step.end() :], _name(step)
            if last != _ANY or not rest or not rest.startswith(".*."):
                yield last
        is_list = rest.startswith(_ITEMS)
        while rest.startswith(_ITEMS):
            rest = rest[len(_ITEMS) :]
        if is_list and last == _ANY:
            raise InvalidRule(f"{text!r}: [] stands behind the name of a list, or at the beginning")
        if is_list and not rest:
            yield _ITEMS
        if not rest:
            return
        if not rest.startswith("."):
            raise InvalidRule(f"{text!r}: steps are separated by dots, and names with other signs stand in quotes")
        rest, last = rest[1:], last or _ITEMS


def _name(step: re.Match[str]) -> str:
    if step["quoted"] is not None:
        return re.escape(_plain(step["quoted"]))
    return _ANY if not step["name"].strip("*") else _expression(_plain(step["name"]))


def _expression(glob: str) -> str:
    return ".*".join(re.escape(part) for part in re.split(r"\*+", glob))


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
