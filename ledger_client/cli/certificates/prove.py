"""Command ``meterseal-ledger certificate prove``: the ``.mcert`` file of a slice, or of all that a party has."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger_client.cli.certificates.common import CA, opened, span_ms
from ledger_client.cli.terminal.options import FORCE, UsageError, demand_replaceable, write_output
from ledger_client.verification.explain import clean

if TYPE_CHECKING:
    from ledger_client.certificates.mcert.prove import Evidence
    from ledger_client.claims.answers import Shown

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("certificate", metavar="CERT[:A-B]")
@click.argument("files", metavar="FILE…", nargs=-1, type=_PATH)
@click.option("--rows", multiple=True, metavar="FILE.mrows", type=_PATH, help="the statement's")
@click.option("--held", is_flag=True, help="in place of CERT: all that the party holds, a file each in the folder -o")
@click.option("--retired", is_flag=True, help="in place of CERT: all that it retired, a file each in the folder -o")
@click.option("--key", "folder", metavar="DIR", type=_PATH, help="with --held, --retired: the party's folder")
@click.option("--from", "begin", metavar="TIME", help="and of hours from there on, as 2026-10-01T00:00:00Z")
@click.option("--to", "end", metavar="TIME", help="and until there")
@click.option("--registry", metavar="NAME=URL", help="has the claims; without it FILEs have them")
@CA
@click.option("-o", "--output", required=True, type=_PATH, metavar="FILE.mcert")
@FORCE
def prove(
    certificate: str, files: tuple[Path, ...], rows: tuple[Path, ...], held: bool, retired: bool, folder: Path | None,
    begin: str | None, end: str | None, registry: str | None, ca: Path | None, output: Path, force: bool,
) -> None:  # fmt: skip
    """Write the file that proves units A to B of CERT, B not included; without :A-B all of them.

    FILEs are batches and proofs (.mseal) with statement, plan and readings, claims of a party's folder, and older
    .mcert files of the same interval: whoever has one of those needs nothing else but the claims since.

    With --held or --retired there is no CERT: FILEs are read once, and each of these slices has its file in the folder
    -o. Exit 1: one has none, or there is no such slice.
    """
    from ledger_client.certificates.mcert.prove import Evidence

    if ca is not None and registry is None:
        raise UsageError("--ca has no effect without --registry", "add --registry NAME=URL")
    if not held and not retired:
        if folder is not None or begin or end:
            raise UsageError(
                "--key, --from and --to have no effect without --held or --retired", "add one, or leave them out"
            )
        _one(certificate, files, rows, registry, ca, output, force=force)
        return
    if held and retired:
        raise UsageError("--held and --retired are two lists", "leave one of them out, and give it a folder of its own")
    if folder is None:
        raise UsageError("nothing says whose units are to be proven", "add --key DIR, the party's folder")
    if registry is None:
        raise UsageError("nothing says which registry has the units", "add --registry NAME=URL")
    span = span_ms(begin, end)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is no folder", "give a folder for the files; it is made where there is none")
    evidence = Evidence.read([Path(certificate), *files], rows)
    _many(evidence, folder, retired, span, registry, ca, output, force=force)


def _one(
    certificate: str, files: Sequence[Path], rows: Sequence[Path], registry: str | None, ca: Path | None, output: Path,
    *, force: bool,
) -> None:  # fmt: skip
    from ledger_client.certificates.holding.parts import resolved, written
    from ledger_client.certificates.mcert.file import is_certificate_file
    from ledger_client.certificates.mcert.prove import Evidence
    from ledger_client.certificates.mcert.prove import prove as proved

    asked = written(certificate)
    demand_replaceable(output, "certificate file (.mcert)", is_certificate_file, force=force)
    evidence = Evidence.read(files, rows)
    cert = resolved(asked, evidence.issued()).cert
    if registry is not None:
        with closing(opened(registry, ca)) as client:
            shown = client.certificate(cert)
        if shown is None:
            raise UsageError(
                f"{client.name} has no certificate {cert.hex()}", "name the registry that it was issued at"
            )
        _add_claims(evidence, shown)
    data = proved(evidence, cert, asked.part).encode()
    write_output(output, data)
    click.echo(f"wrote {output}: {cert.hex()}, {len(data)} bytes")


def _many(
    evidence: Evidence, folder: Path, retired: bool, span: tuple[int, int], registry: str, ca: Path | None,
    output: Path, *, force: bool,
) -> None:  # fmt: skip
    from ledger_client.accounting.formats.refusal import AccountingError
    from ledger_client.certificates.mcert.file import is_certificate_file
    from ledger_client.certificates.mcert.many import Unproven, histories, name_of, prepare, slices_of
    from ledger_client.certificates.mcert.prove import file_of
    from ledger_client.claims.certificate import HELD, RETIRED
    from ledger_client.enrolment.party_folder import load

    party, status = load(folder).name, RETIRED if retired else HELD
    with closing(opened(registry, ca)) as client:
        owned = slices_of(client.of_holder(party), party, status, *span)
        for one in owned:
            shown = client.certificate(one.shown.certificate.id)
            if shown is not None:
                _add_claims(evidence, shown)
    found, unproven = histories(evidence, owned)
    targets = [(output / name_of(chain), chain) for chain in found]
    for target, _ in targets:
        demand_replaceable(target, "certificate file (.mcert)", is_certificate_file, force=force)
    prepare(evidence, found)
    _make(output)
    written = 0
    for target, chain in targets:
        try:
            write_output(target, file_of(evidence, chain).encode())
            written += 1
        except AccountingError as error:
            unproven.append(Unproven(chain.made.id, chain.part, error))
    every = written + len(unproven)
    click.echo(f"wrote {written} of {every} files into {output}: units {status} by {party} at {client.name}")
    for left in unproven:
        click.echo(clean(f"  not written: {left}"))
    sys.exit(0 if written == every > 0 else 1)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", "give a folder that can be made") from None


def _add_claims(evidence: Evidence, shown: Shown) -> None:
    """What a registry has of a certificate."""
    from ledger_client.claims.given_claim import GivenClaim
    from ledger_client.formats.bundle import decode_locator, is_locator

    for claim in shown.claims:
        if is_locator(claim.receipt):
            evidence.add(GivenClaim(claim.entry, (), decode_locator(claim.receipt)))
        else:
            evidence.add(GivenClaim(claim.entry, (claim.receipt,)))
