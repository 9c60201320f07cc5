"""Command ``meterseal-ledger recompute``: yes or no to the statements of a folder, made again from their batches."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from ledger_client.cli.terminal.options import UsageError, demand_replaceable, moment, write_output
from ledger_client.cli.terminal.trusted import load_in_force, trusting


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@trusting()
@click.option("--gateway", "gateways", multiple=True, metavar="NAME", help="there have to be batches of it, again")
@click.option(
    "--period", metavar="2026|2026-10|A/B", help="all of it has to be stated; A and B as 2026-09-30T16:00:00Z"
)
@click.option("--strict", is_flag=True, help="exit 1 where an input is unusual, too")
@click.option("--page", metavar="FILE.html", type=click.Path(path_type=Path), help="write all of it as a page to print")
@click.option("--inputs", metavar="FILE.csv", type=click.Path(path_type=Path), help="write what people supplied")
@click.option("--json", "as_json", is_flag=True, help="one JSON object and nothing else")
def recompute(
    paths: tuple[Path, ...],
    trust_file: Path,
    gateways: tuple[str, ...],
    period: str | None,
    strict: bool,
    page: Path | None,
    inputs: Path | None,
    as_json: bool,
) -> None:
    """Say YES or NO to what folders hold, of any gateways: batches, proofs (.mseal), rows (.mrows), documents.

    Audits the batches, makes each statement again, looks for time without one, and lays open what people supplied:
    plans, profiles, factors, entries, and which of it is unusual. Years and months are by the civil time of each plan.
    Exit 0: yes; 1: no, with every reason, or with --strict an unusual input; 2: usage.
    """
    from ledger_client.collector import seldom
    from ledger_client.recompute.page import page as as_page
    from ledger_client.recompute.report import as_json as plain
    from ledger_client.recompute.report import as_sheet, in_words
    from ledger_client.recompute.verdict import judge

    for path, kind, begins in ((page, "page", b"<!doctype html>"), (inputs, "table of inputs", b'"gateway","plan"')):
        if path is not None:
            demand_replaceable(path, kind, _begins_with(begins), force=False)
    trust, asked, now = load_in_force(trust_file), None if period is None else _asked(period), int(time.time())
    with seldom():
        verdict = judge(paths, trust, now, gateways=gateways, period=asked)
    if page is not None:
        write_output(page, as_page(verdict, now).encode())
    if inputs is not None:
        write_output(inputs, as_sheet(verdict).encode())
    click.echo(json.dumps(plain(verdict), indent=2) if as_json else "\n".join(in_words(verdict)))
    sys.exit(0 if verdict.yes and not (strict and verdict.unusual) else 1)


def _begins_with(begins: bytes) -> Callable[[Path], bool]:
    def is_such(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(begins)) == begins

    return is_such


def _asked(text: str) -> Callable[[int], tuple[int, int]]:
    """From and to of a period by an offset from UTC in minutes."""
    from ledger_client.accounting.formats.civil_time import named_period

    begin, slash, end = text.partition("/")
    if slash:
        option = f"--period {text}:"
        span = moment(option, begin) * 1000, moment(option, end) * 1000
        if span[1] <= span[0]:
            raise UsageError(f"--period {text}: it ends before it begins", "write it as FROM/TO")
        return lambda _: span
    if named_period(text, 0) is None:
        raise UsageError(f"--period {text!r}: no year, month or FROM/TO", "write it as 2026, 2026-10 or A/B")

    def by_civil_time(civil_min: int) -> tuple[int, int]:
        named = named_period(text, civil_min)
        assert named is not None
        return named

    return by_civil_time
