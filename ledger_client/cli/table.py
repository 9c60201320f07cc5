"""Command ``meterseal-ledger table``: proven statements as CSV or JSON for spreadsheets, databases and reports."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ledger_client.cli.terminal.options import FORCE, UsageError, demand_replaceable, write_output
from ledger_client.cli.terminal.trusted import load_in_force, trusting
from ledger_client.errors import FileError, VerificationError
from ledger_client.verification.explain import clean


@click.command()
@click.argument("kind", type=click.Choice(["hours", "periods", "mrr", "cn-monthly", "gec-monthly", "fuel"]))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@trusting()
@click.option("--rows", multiple=True, required=True, metavar="FILE.mrows", type=click.Path(path_type=Path),
              help="the rows of a statement; may be given again")  # fmt: skip
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="- for stdout")
@click.option("--bom", is_flag=True, help="begin with a byte order mark, so that spreadsheets read UTF-8")
@click.option("--json", "as_json", is_flag=True, help="JSON in place of CSV")
@FORCE
def table(
    kind: str, files: tuple[Path, ...], trust_file: Path, rows: tuple[Path, ...], output: Path, bom: bool,
    as_json: bool, force: bool,
) -> None:  # fmt: skip
    """Write a table of statements: their hours, their periods, the MRR's hours, China's months of electricity and of
    devices, or what fuel was burnt.

    FILES are batches (.mbatch) or proofs (.mseal) with the statements, their plans and entries. Every figure comes from
    rows under the root of a signed statement; `recompute` tells whether they follow from the readings. Exit 1: not
    proven, and nothing is written.
    """
    from ledger_client.accounting.formats.refusal import AccountingError
    from ledger_client.accounting.tables import writing
    from ledger_client.accounting.tables.kinds import KINDS
    from ledger_client.recompute.proven import proven

    if bom and as_json:
        raise UsageError("--bom has no effect with --json", "leave one of them out")
    trust = load_in_force(trust_file)
    try:
        found = proven(files, rows, trust, int(time.time()))
        made = KINDS[kind](found.statements)
    except FileError:
        raise
    except (AccountingError, VerificationError) as error:
        click.echo(clean(f"NOT PROVEN: {error}"), err=True)
        sys.exit(1)
    data = writing.as_json(made, found.statements) if as_json else writing.as_csv(made, bom=bom)
    for note in found.notes:
        click.echo(clean(f"note: {note}"), err=True)
    if str(output) == "-":
        sys.stdout.buffer.write(data)
        return
    beginning = writing.beginning(made, as_json=as_json)
    demand_replaceable(
        output, f"table of {kind}", lambda path: writing.begins_with(path.read_bytes(), beginning), force=force
    )
    write_output(output, data)
    click.echo(f"wrote {output}: {len(made.lines)} lines of {len(found.statements)} proven statements", err=True)
