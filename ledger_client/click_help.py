"""Command lists of ``--help``: in order of use, under headings, each with its whole first sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import click

HELP = {"help_option_names": ["-h", "--help"]}


class Grouped(click.Group):
    """A group of commands that ``--help`` lists under ``headings``; what stands under none of them comes last."""

    headings: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Instead of click's one list by the alphabet, which cuts each line."""
        placed = [name for names in self.headings.values() for name in names]
        width = max(map(len, self.commands))
        others = [name for name in self.list_commands(ctx) if name not in placed]
        for heading, names in {**self.headings, "Commands": others}.items():
            rows = [(name.ljust(width), self.commands[name].get_short_help_str(limit=400)) for name in names]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
