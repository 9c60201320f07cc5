"""Commands ``meterseal-ledger energytag`` and ``irec``: files for the registries of others."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from ledger_client.cli.terminal.options import FORCE, demand_replaceable, write_output
from ledger_client.cli.terminal.trusted import load_in_force, trusting
from ledger_client.errors import FileError, VerificationError
from ledger_client.verification.explain import clean

_PATH = click.Path(path_type=Path)
_OUTPUT = click.option("-o", "--output", required=True, metavar="FILE", type=_PATH, help="where to")


@click.command()
@click.argument("log", metavar="LOG", type=_PATH)
@click.argument("files", nargs=-1, required=True, type=_PATH)
@trusting()
@_OUTPUT
@FORCE
def energytag(log: Path, files: tuple[Path, ...], trust_file: Path, output: Path, force: bool) -> None:
    """Write a registry's certificates as devices and bundles in the words of EnergyTag's registry API, as JSON.

    LOG is a ledger's folder or a backup of its log, which is replayed; FILES are batches (.mbatch) or proofs (.mseal)
    with the statements of its certificates and their plans. Exit 1: the log is at fault or a device is not proven, and
    nothing is written.
    """
    from ledger_client.accounting.formats.plan import Plan
    from ledger_client.accounting.formats.refusal import refuse
    from ledger_client.certificates.energytag import BEGINNING
    from ledger_client.certificates.energytag import energytag as exported
    from ledger_client.certificates.replay import replay
    from ledger_client.recompute.proven import signed
    from ledger_client.transparency.ledger.directory import open_log
    from ledger_client.transparency.log.log import Log

    trust = load_in_force(trust_file)

    def made() -> tuple[bytes, str]:
        found = [one.sources for one in signed(files, trust, int(time.time())).values()]

        def plan_of(period: bytes) -> Plan:
            for sources in found:
                if period in sources.periods:
                    return sources.plan_of(sources.periods[period]).plan
            refuse("V1", "files", f"none holds the statement {period.hex()}", "give its batch, or its .mseal")

        found_log = open_log(log, read_only=True) if log.is_dir() else Log.open(log, read_only=True)
        with closing(found_log) as opened, opened.read() as entries:
            replayed = replay(opened.name, entries.entries(0, entries.size()))
        return exported(replayed, plan_of), f"{len(replayed.state.certificates)} certificates of {replayed.registry}"

    _write(output, "export for EnergyTag", lambda path: path.read_bytes().startswith(BEGINNING), made, force=force)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATH)
@trusting()
@click.option("--rows", multiple=True, required=True, metavar="FILE.mrows", type=_PATH,
              help="the rows of a statement; may be given again")  # fmt: skip
@click.option("--document", "documents", multiple=True, metavar="FILE", type=_PATH,
              help="a bill, a permit; may be given again")  # fmt: skip
@click.option("--device", metavar="ID", help="whose; needed where the plan has several")
@_OUTPUT
@FORCE
def irec(
    files: tuple[Path, ...], trust_file: Path, rows: tuple[Path, ...], documents: tuple[Path, ...], device: str | None,
    output: Path, force: bool,
) -> None:  # fmt: skip
    """Write the evidence of a device and a period for an issuer of I-RECs: a zip with a manifest.

    FILES are batches (.mbatch) or proofs (.mseal) with the statements, their plans and entries. The pack has the kWh,
    the settlement or other metering, the device's hours, proofs of plan, statements and entries, and documents by their
    SHA-256. Exit 1: not proven, and nothing is written.
    """
    from ledger_client.certificates.irec import Document, is_pack, pack
    from ledger_client.recompute.proven import proven
    from ledger_client.recompute.sources import files_read

    trust = load_in_force(trust_file)

    def made() -> tuple[bytes, str]:
        found = proven(files, rows, trust, int(time.time()))
        for note in found.notes:
            click.echo(clean(f"note: {note}"), err=True)
        added = [Document(path.name, data) for path, data in zip(documents, files_read(documents), strict=True)]
        statements = ", ".join(one.record.hex()[:16] for one in found.statements)
        return pack(found.statements, found.proofs, added, device), f"evidence by the statements {statements}"

    _write(output, "pack of evidence", lambda path: is_pack(path.read_bytes()), made, force=force)


def _write(
    output: Path, kind: str, is_such: Callable[[Path], bool], made: Callable[[], tuple[bytes, str]], *, force: bool
) -> None:
    """What ``made`` gives goes to a file; exit 1 where it is not proven."""
    from ledger_client.accounting.formats.refusal import AccountingError

    demand_replaceable(output, kind, is_such, force=force)
    try:
        data, contents = made()
    except FileError:
        raise
    except (AccountingError, VerificationError) as error:
        click.echo(clean(f"NOT PROVEN: {error}"), err=True)
        sys.exit(1)
    write_output(output, data)
    click.echo(clean(f"wrote {output}: {contents}"), err=True)
