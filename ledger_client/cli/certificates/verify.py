"""Command ``meterseal-ledger certificate verify``: what the ``.mcert`` file of a slice proves."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger_client.cli.certificates.common import CA, JSON, TRUST, opened, since_block
from ledger_client.cli.terminal.options import UsageError, access, addresses
from ledger_client.cli.terminal.trusted import load_in_force
from ledger_client.errors import VerificationError
from ledger_client.verification.explain import clean
from ledger_client.verification.online_facts import NOTHING_ASKED, OnlineFacts
from ledger_client.verification.trust import Trust

if TYPE_CHECKING:
    from ledger_client.certificates.mcert.verify import Proven
    from ledger_client.certificates.over_issued import Issued
    from ledger_client.ledgers.registry import RegistryClient

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", metavar="FILE.mcert", type=_PATH)
@TRUST
@click.option("--batches", multiple=True, metavar="PATH", type=_PATH,
              help="batches and proofs, or a folder, with the newest statements; may be given again")  # fmt: skip
@click.option("--online", is_flag=True, help="ask registries about the units since, and for another certificate")
@click.option("--registry", "registries", multiple=True, metavar="NAME=URL",
              help="for --online: where it serves, or a node of its chain")  # fmt: skip
@CA
@since_block
@JSON
def verify(
    file: Path, trust_file: Path, batches: tuple[Path, ...], online: bool, registries: tuple[str, ...],
    ca: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Walk back from units of a certificate to signed registers: exit 0 verified, 1 not verified.

    Nothing but the trust file is needed. With --batches the statement is recomputed, and must still give the units.
    With --online the certificate's registry, and every other one that is given, must say that the units have this
    status and that no other certificate has the interval.
    """
    from ledger_client.certificates.mcert.steps import CERTIFICATE_STEPS, CertificateError
    from ledger_client.certificates.mcert.verify import verify_certificate
    from ledger_client.certificates.mcert.words import facts_in_words, proven_json, refused_json, steps_in_words

    if not online and (registries or ca):
        raise UsageError("--registry and --ca have no effect without --online", "add --online")
    trust, now = load_in_force(trust_file), int(time.time())
    for warning in trust.warnings:
        click.echo(f"warning: {trust.source}: {warning}", err=True)
    try:
        data = _read(file)
        proven = verify_certificate(data, trust, now, facts=_facts(data, trust, registries, ca))
    except CertificateError as error:
        why = f"NOT VERIFIED, step {error.step} ({CERTIFICATE_STEPS[error.step]}): {clean(error.detail)}"
        click.echo(json.dumps(refused_json(error)) if as_json else f"{why}\n  fix: {error.way_out}")
        sys.exit(1)
    at_registry, issued = _online(proven, registries, ca, trust, month=bool(batches)) if online else (None, [])
    objections = _objections(proven, batches, trust, now, issued) if batches else None
    if as_json:
        more = {"batches": objections, "online": at_registry}
        click.echo(json.dumps(proven_json(proven) | more, ensure_ascii=False))
    else:
        asked = [*_in_words(objections, "--batches", "the newest statement still gives these units")]
        asked += _in_words(
            at_registry, "--online", "the units have this status, and no other certificate has the interval"
        )
        click.echo("\n".join([*steps_in_words(proven), "", *facts_in_words(proven, asked)]))
    sys.exit(1 if at_registry or objections else 0)


def _read(file: Path) -> bytes:
    from ledger_client.certificates.mcert.file import MAX_FILE

    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", "give the path of a .mcert file") from None


def _facts(data: bytes, trust: Trust, registries: Sequence[str], ca: Path | None) -> OnlineFacts:
    """What chains say of claims that stand there; nothing without ``--online``. A file that cannot be read has none."""
    if not registries:
        return NOTHING_ASKED
    from ledger_client.online.claims_on_chain import refresh_claims  # needs the network; verifying does not

    urls = addresses("--registry", registries)
    try:
        return refresh_claims(data, trust, urls, access=access(ca, urls.values()))
    except VerificationError:
        return NOTHING_ASKED


def _online(
    proven: Proven, registries: Sequence[str], ca: Path | None, trust: Trust, *, month: bool
) -> tuple[list[str], list[Issued]]:
    """What registries say against the file; and for ``month`` the certificates of the device in its month."""
    from ledger_client.certificates.mcert.fate import contradictions, span

    name = proven.traced.registry
    with ExitStack() as stack:
        clients = {one: stack.enter_context(closing(opened(f"{one}={url}", ca, trust=trust)))
                   for one, url in addresses("--registry", registries).items()}  # fmt: skip
        if name not in clients:
            raise UsageError(f"--online: the registry {name} is to be asked", f"add --registry {name}=URL")
        shown = clients[name].certificate(proven.traced.certificate.id)
        listed = {one: list(client.of_device(*span(proven))) for one, client in clients.items()}
        return contradictions(proven, shown, listed), _issued(clients[name], proven) if month else []


def _issued(client: RegistryClient, proven: Proven) -> list[Issued]:
    from ledger_client.certificates.mcert.batches import month
    from ledger_client.certificates.over_issued import Issued, made_up
    from ledger_client.claims.certificate import RETIRED
    from ledger_client.claims.claim import parse_claim

    found = []
    for shown in client.of_device(proven.traced.certificate.device, *month(proven)):
        whole = client.certificate(shown.certificate.id) if any(s.status == RETIRED for s in shown.slices) else None
        claims = [parse_claim(one.entry).claim for one in whole.claims] if whole else []
        found.append(Issued(shown.certificate, shown.slices, made_up(claims)))
    return found


def _objections(proven: Proven, batches: Sequence[Path], trust: Trust, now: int, issued: Sequence[Issued]) -> list[str]:
    from ledger_client.certificates.mcert.batches import objections
    from ledger_client.certificates.recomputed import results_of

    return list(objections(proven, results_of(batches, trust, now), issued))


def _in_words(found: Sequence[str] | None, option: str, good: str) -> list[str]:
    """What was asked besides the file, and what came of it."""
    if found is None:
        return [f"  not asked      {option}: whether {good}"]
    return [f"  NO             {line}" for line in found] or [f"  still so       {good}"]
