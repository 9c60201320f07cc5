"""Groups of commands: their list in ``--help``, and commands whose modules are imported when they are called."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import click

from ledger_client.collector import loading

HELP = {"help_option_names": ["-h", "--help"]}


class Entry(NamedTuple):
    """A command in the table of its group: its place as ``module:attribute``, and its line in ``--help``."""

    place: str
    line: str


Table = Mapping[str, Mapping[str, Entry]]
"""By heading, in order of use: the commands by their names."""


class _Imported(UserDict[str, Any]):
    """Commands by name; one that stands here by its place is imported when it is taken."""

    def __getitem__(self, name: str) -> click.Command:
        if isinstance(self.data[name], str):
            module, _, attribute = self.data[name].partition(":")
            with loading():
                self.data[name] = getattr(import_module(module), attribute)
        command: click.Command = self.data[name]
        return command


class Grouped(click.Group):
    """A group of commands that ``--help`` lists under ``headings``, each with its whole first sentence.

    The list imports none of the commands in the table: the command line starts with what it needs. A command that is
    added to the group by other means comes last, under a heading of its own.
    """

    headings: ClassVar[Table] = {}

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.table = {name: entry for entries in self.headings.values() for name, entry in entries.items()}
        self.commands = _Imported(self.commands) | {name: entry.place for name, entry in self.table.items()}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """In order of use, instead of click's one list by the alphabet, which cuts each line."""
        width = max(map(len, self.commands))
        others = [name for name in self.list_commands(ctx) if name not in self.table]
        for heading, names in {**self.headings, "Commands": others}.items():
            if names:
                with formatter.section(heading):
                    formatter.write_dl([(name.ljust(width), self._line(name)) for name in names])

    def _line(self, name: str) -> str:
        return self.table[name].line if name in self.table else self.commands[name].get_short_help_str(limit=400)
