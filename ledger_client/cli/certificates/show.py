"""Commands that say what a registry shows: one certificate, or those of a holder or a device."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledger_client.cli.certificates.common import CA, JSON, REGISTRY, looks_at_chains, opened, say, span_ms
from ledger_client.cli.terminal.options import UsageError
from ledger_client.times import rfc3339

if TYPE_CHECKING:
    from ledger_client.claims.answers import Shown
    from ledger_client.ledgers.registry import RegistryClient

_FOLDER = click.option(
    "--key", "folder", metavar="DIR", type=click.Path(path_type=Path), help="the folder of the party that holds it"
)


@click.command()
@click.argument("cert", metavar="CERT")
@_FOLDER
@REGISTRY
@CA
@looks_at_chains
@JSON
def show(cert: str, folder: Path | None, registry: str, ca: Path | None, as_json: bool) -> None:
    """Show a certificate: what was issued, who has which units, and every claim of it.

    CERT is its id, or with --key the beginning of one that the party holds. Shown is what the registry says;
    `certificate verify` and `certificate audit` prove it. Exit 1: the registry has no such certificate.
    """
    from ledger_client.certificates.holding.parts import resolved, written

    with closing(opened(registry, ca, folder=folder)) as client:
        known = [] if folder is None else [one.certificate.id for one in client.of_holder(_name(folder))]
        found = client.certificate(resolved(written(cert), known).cert)
    if found is None:
        say({"found": False}, [f"registry {client.name} has no certificate {cert}"], as_json)
        sys.exit(1)
    claims = [_claim(claim.entry) for claim in found.claims]
    lines = [*_in_words(found), *(f"  claim {one['number']} of {one['party']}: {one['deed']}" for one in claims)]
    say({"found": True, **as_plain(found), "claims": claims}, lines, as_json)


@click.command(name="list")
@_FOLDER
@click.option("--holder", metavar="PARTY", help="all that has units of this party  [default: the party of --key]")
@click.option("--device", metavar="ID", help="all of this device, as the plan names it")
@click.option("--from", "begin", metavar="TIME", help="with --device: from there on, as 2026-10-01T00:00:00Z")
@click.option("--to", "end", metavar="TIME", help="with --device: until there")
@REGISTRY
@CA
@looks_at_chains
@JSON
def listed(
    folder: Path | None, holder: str | None, device: str | None, begin: str | None, end: str | None, registry: str,
    ca: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """List the certificates of a holder or of a device, as the registry shows them."""
    if device is not None and holder is not None:
        raise UsageError("--holder and --device are two lists", "leave one of them out")
    if device is None and (begin or end):
        raise UsageError("--from and --to have no effect without --device", "add --device ID")
    if device is None and holder is None and folder is None:
        raise UsageError("nothing says whose certificates", "give --key, --holder or --device")
    with closing(opened(registry, ca)) as client:
        found = _found(client, folder, holder, device, begin, end)
    found.sort(key=lambda one: (one.certificate.device, one.certificate.from_ms))
    lines = [line for one in found for line in _in_words(one)] or ["none"]
    say({"registry": client.name, "certificates": [as_plain(one) for one in found]}, lines, as_json)


def _found(
    client: RegistryClient,
    folder: Path | None,
    holder: str | None,
    device: str | None,
    begin: str | None,
    end: str | None,
) -> list[Shown]:
    from ledger_client.claims.certificate import digest

    if device is not None:
        return list(client.of_device(digest(device), *span_ms(begin, end)))
    if holder is None:
        assert folder is not None
        holder = _name(folder)
    return list(client.of_holder(holder))


def as_plain(shown: Shown) -> dict[str, Any]:
    """A certificate as JSON has it; the device is SHA-256 of its id."""
    made = shown.certificate
    slices: Iterable[dict[str, Any]] = (
        {"from": one.begin, "to": one.end, "status": one.status, "holder": one.holder} for one in shown.slices
    )
    return {
        "certificate": made.id.hex(), "issuer": made.issuer, "device": made.device.hex(), "from": made.from_ms,
        "to": made.to_ms, "units": made.units, "statement": made.period.hex(), "row": made.row.hex(),
        "slices": list(slices),
    }  # fmt: skip


def _in_words(shown: Shown) -> list[str]:
    made = shown.certificate
    span = f"{rfc3339(made.from_ms // 1000)} to {rfc3339(made.to_ms // 1000)}"
    lines = [f"{made.id.hex()}  {span}  {made.units:,} Wh  by {made.issuer}"]
    return lines + [f"    {one.begin}-{one.end}  {one.status}  {one.holder}" for one in shown.slices]


def _claim(entry: bytes) -> dict[str, Any]:
    from ledger_client.certificates.holding.words import in_words
    from ledger_client.claims.claim import parse_claim
    from ledger_client.errors import VerificationError

    try:
        signed = parse_claim(entry)
    except VerificationError as error:
        return {"number": None, "party": None, "deed": f"no claim: {error.detail}", "signed": None}
    claim = signed.claim
    return {"number": claim.number, "party": claim.party, "deed": in_words(claim.deed), "signed": rfc3339(claim.iat)}


def _name(folder: Path) -> str:
    from ledger_client.enrolment.party_folder import load

    return load(folder).name
