"""Command ``meterseal-ledger factors``: the emission factors that come with Meterseal, with their documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import click

from ledger_client.cli.terminal.options import UsageError


@click.command()
@click.argument("series", required=False)
@click.option("--json", "as_json", is_flag=True, help="one JSON array and nothing else")
def factors(series: str | None, as_json: bool) -> None:
    """List the emission factors that plans can name, all or one SERIES, with the document of each.

    A factor that is not confirmed was read in one source only.
    """
    from ledger_client.accounting import factors as published  # reads TOML, which no other command here needs

    found = published.load() if series is None else published.series(series)
    if not found:
        raise UsageError(f"there is no series {series}", "list all of them: meterseal-ledger factors")
    click.echo(json.dumps([dict(f) for f in found], indent=2, ensure_ascii=False) if as_json else _in_words(found))


def _in_words(found: Sequence[Mapping[str, Any]]) -> str:
    """By document: id, value with its unit, region."""
    width = max(len(factor["id"]) for factor in found)
    lines: list[str] = []
    for document, of in groupby(found, key=lambda factor: str(factor["document"])):
        lines += ["", document] if lines else [document]
        for factor in of:
            doubt = "" if factor["confirmed"] else "  not confirmed"
            lines.append(f"  {factor['id']:<{width}}  {factor['value']} {factor['unit']}  {factor['region']}{doubt}")
    return "\n".join(lines)
