"""Directives that write reference pages from the code, so that the two cannot disagree.

Each renders Markdown, to be used on a MyST page:

    ```{settings}            the rows of a table, to which those of the apps are added
    ```{command} outbox      options of a management command
    ```{tables}              the database tables
    ```{metrics}             what /metrics has
    ```{failure-codes}       librdkafka's error codes by failure class
    ```{module-docstring} outbox.kafka.message
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module
from inspect import cleandoc
from typing import Any, ClassVar

from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from docs._ext import commands, failures, metrics, settings, tables


def setup(app: Sphinx) -> ExtensionMetadata:
    for directive in (Settings, Command, Tables, Metrics, FailureCodes, ModuleDocstring):
        app.add_directive(directive.name, directive)
    return {"parallel_read_safe": True}


class Generated(SphinxDirective):
    """Parses what `markdown` returns in place of itself."""

    optional_arguments = 1
    has_content = True

    def run(self) -> list[Any]:
        return self.parse_text_to_nodes(self.markdown(), allow_section_headings=True)

    @abstractmethod
    def markdown(self) -> str:
        """What stands in its place."""


class Settings(Generated):
    name: ClassVar[str] = "settings"

    def markdown(self) -> str:
        return "\n".join([*self.content, *settings.rows()])


class Command(Generated):
    name: ClassVar[str] = "command"

    def markdown(self) -> str:
        return commands.markdown(self.arguments[0])


class ModuleDocstring(Generated):
    name: ClassVar[str] = "module-docstring"

    def markdown(self) -> str:
        return cleandoc(import_module(self.arguments[0]).__doc__ or "")


def _without_arguments(name_of_directive: str, render: Callable[[], str]) -> type[Generated]:
    class Directive(Generated):
        name: ClassVar[str] = name_of_directive

        def markdown(self) -> str:
            return render()

    return Directive


Tables = _without_arguments("tables", tables.markdown)
Metrics = _without_arguments("metrics", metrics.markdown)
FailureCodes = _without_arguments("failure-codes", failures.markdown)
