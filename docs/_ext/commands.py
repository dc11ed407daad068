"""Management commands and what they take, as their own parsers know it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from docs._ext.markdown import code, table

OUR_APPS = ("somabrain", "outbox", "circuits")


def ours() -> set[str]:
    """Names of the commands that this project brings."""
    return {name for name, app in get_commands().items() if app in OUR_APPS}


def markdown(name: str) -> str:
    app = get_commands()[name]
    command = load_command_class(str(app), name)
    return "\n\n".join(_sections(command.create_parser("manage.py", name), _common()))


def _sections(parser: argparse.ArgumentParser, common: set[str]) -> Iterator[str]:
    yield parser.description or ""
    rows = [_row(action) for action in parser._actions if _is_own(action, common)]
    if rows:
        yield table(["Argument", "Meaning"], rows)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield f"`{parser.prog.removeprefix('manage.py ')} {name}`"
                yield from _sections(sub, common)


def _is_own(action: argparse.Action, common: set[str]) -> bool:
    return not isinstance(action, argparse._SubParsersAction) and action.dest not in common


def _row(action: argparse.Action) -> list[str]:
    names = ", ".join(code(name + _value(action)) for name in action.option_strings) or code(action.dest)
    return [names, (action.help or "") % {"default": action.default, "prog": "manage.py"}]


def _value(action: argparse.Action) -> str:
    choices = "|".join(map(str, action.choices or ()))
    return f" {action.metavar or choices or action.dest.upper()}" if action.nargs != 0 else ""


def _common() -> set[str]:
    """What Django gives every command."""
    return {action.dest for action in BaseCommand().create_parser("manage.py", "")._actions}
