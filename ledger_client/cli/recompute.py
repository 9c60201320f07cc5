"""Command ``meterseal-ledger recompute``: statements of energy and emissions again, from batches."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from ledger_client.cli.terminal.options import moment
from ledger_client.verification.trust import load_trust


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--trust", "trust_file", required=True, type=click.Path(path_type=Path), metavar="TRUST.toml")
@click.option("--rows", multiple=True, metavar="FILE.mrows", type=click.Path(path_type=Path), help="its rows, again")
@click.option("--period", metavar="FROM/TO", help="only this one, as 2026-09-30T16:00:00Z/2026-10-31T16:00:00Z")
@click.option("--json", "as_json", is_flag=True, help="one JSON object and nothing else")
def recompute(
    files: tuple[Path, ...], trust_file: Path, rows: tuple[Path, ...], period: str | None, as_json: bool
) -> None:
    """Recompute statements from batches (.mbatch), and proofs (.mseal) of plans and statements from other batches.

    Audits the batches first. Exit 0: equal, byte for byte; 1: not, with the rule of each difference; 2: usage.
    """
    from ledger_client.collector import seldom
    from ledger_client.recompute.report import as_json as plain
    from ledger_client.recompute.report import in_words
    from ledger_client.recompute.run import recompute as recomputed

    trust, wanted = load_trust(trust_file), None if period is None else _period(period)
    with seldom():
        result = recomputed(files, trust, int(time.time()), rows=rows, period=wanted)
    click.echo(json.dumps(plain(result), indent=2) if as_json else "\n".join(in_words(result)))
    sys.exit(0 if result.equal else 1)


def _period(text: str) -> tuple[int, int]:
    begin, _, end = text.partition("/")
    return moment("--period", begin) * 1000, moment("--period", end) * 1000
