"""Commands that claim something of certificates that are there: transfer, retire, export, withdraw; and attest."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger_client.claims.attestation import LEVELS, VERDICTS
from ledger_client.cli.certificates.common import claim_json, connected, refusal_json, say, sends
from ledger_client.cli.terminal.options import UsageError, moment
from ledger_client.cli.terminal.trusted import load_in_force
from ledger_client.verification.explain import clean
from ledger_client.verification.trust import Trust

if TYPE_CHECKING:
    from ledger_client.certificates.holding.sending import Sender, Sent
    from ledger_client.claims.claim import Deed, Export, Part, Retire, Transfer

CERTS = click.argument("certs", metavar="CERT[:A-B]…", nargs=-1, required=True)
_SALT = 16


@click.command()
@CERTS
@click.argument("party")
@sends
def transfer(
    certs: tuple[str, ...], party: str, folder: Path, registry: str, trust_file: Path, ca: Path | None, as_json: bool
) -> None:
    """Give certificates, or units A to B of them (B not included), to another PARTY."""
    from ledger_client.claims.claim import Transfer

    with connected(folder, registry, trust_file, ca) as sender:
        _sent(sender, [Transfer(cert, part, party) for cert, part in _units(sender, certs, Transfer)], as_json)


@click.command()
@CERTS
@click.option("--purpose", required=True, help="what for, in at most 64 bytes")
@click.option("--period", required=True, metavar="FROM/TO", help="of the use, as 2026-10-01T00:00Z/2026-11-01T00:00Z")
@click.option("--for", "whom", metavar="NAME", help="whose use it is: only a salted hash of the name is published")
@sends
def retire(
    certs: tuple[str, ...], purpose: str, period: str, whom: str | None, folder: Path, registry: str, trust_file: Path,
    ca: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Use certificates, or units A to B of them, up: nobody can use them again."""
    from ledger_client.claims.claim import Retire

    begin_ms, end_ms = (
        moment("--period", text) * 1000 for text in (period.partition("/")[0], period.partition("/")[2])
    )
    if begin_ms >= end_ms:
        raise UsageError(f"--period {period}: it ends before it begins", "give FROM/TO")
    with connected(folder, registry, trust_file, ca) as sender:
        units = _units(sender, certs, Retire)
        hidden, more = None if whom is None else _hidden(folder, whom), dict[str, str]()
        if hidden is not None:
            more = {"for": hidden[0].hex(), "salt": hidden[1].hex()}
        whose = None if hidden is None else hidden[0]
        _sent(sender, [Retire(cert, part, purpose, begin_ms, end_ms, whose) for cert, part in units], as_json, more)


@click.command()
@CERTS
@click.option("--to-registry", "other", required=True, metavar="NAME", help="where they are from now on")
@click.option("--reference", required=True, help="under which they are there")
@sends
def export(
    certs: tuple[str, ...], other: str, reference: str, folder: Path, registry: str, trust_file: Path, ca: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Let certificates, or units A to B of them, leave for another registry."""
    from ledger_client.claims.claim import Export

    with connected(folder, registry, trust_file, ca) as sender:
        _sent(sender, [Export(cert, part, other, reference) for cert, part in _units(sender, certs, Export)], as_json)


@click.command()
@click.argument("certs", metavar="CERT…", nargs=-1, required=True)
@click.option("--reason", required=True, help="why, in at most 128 bytes")
@sends
def withdraw(
    certs: tuple[str, ...], reason: str, folder: Path, registry: str, trust_file: Path, ca: Path | None, as_json: bool
) -> None:
    """Take certificates back that you issued, while their first holder has all units: their hours are free again."""
    from ledger_client.certificates.holding.parts import demand_apart, resolved, written
    from ledger_client.certificates.holding.sending import kept
    from ledger_client.claims.certificate import certificate_of
    from ledger_client.claims.claim import Issue, Withdraw

    read = [written(text) for text in certs]
    if any(one.part is not None for one in read):
        raise UsageError("CERT:A-B: a certificate is withdrawn whole (R4)", "leave :A-B out")
    with connected(folder, registry, trust_file, ca) as sender:
        claims = (signed.claim for signed, _ in kept(folder, sender.registry.name))
        issued = [certificate_of(claim, claim.deed).id for claim in claims if isinstance(claim.deed, Issue)]
        named = [resolved(one, issued) for one in read]
        demand_apart(named)
        _sent(sender, [Withdraw(one.cert, reason) for one in named], as_json)


@click.command()
@click.argument("subject", metavar="HASH|FILE.mseal|balance.claim")
@click.option("--level", required=True, type=click.Choice(LEVELS), help="of assurance (ISO 14064-3)")
@click.option(
    "--verdict", required=True, type=click.Choice(VERDICTS), help="the opinion: only `unmodified` counts for a policy"
)
@click.option(
    "--report", required=True, type=click.Path(path_type=Path), metavar="FILE", help="only its hash is published"
)
@sends
def attest(
    subject: str, level: str, verdict: str, report: Path, folder: Path, registry: str, trust_file: Path,
    ca: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Attest a statement or a signed balance, as a verifier.

    A statement by its record hash or its proof (FILE.mseal), a balance by its claim's id or its claim (balance.claim).
    A file is verified first; a HASH is taken as it is given.
    """
    from ledger_client.claims.claim import Attest

    try:
        with report.open("rb") as file:
            document = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UsageError(f"{report}: {error.strerror}", "give the path of the report") from None
    what, hashed = _attested(subject, load_in_force(trust_file))
    with connected(folder, registry, trust_file, ca) as sender:
        _sent(sender, [Attest(hashed, level, verdict, document)], as_json, {what: hashed.hex()})


def _attested(text: str, trust: Trust) -> tuple[str, bytes]:
    """What is attested, `period` or `balance`: the record hash of a statement, or the id of a balance's claim (a hash
    by itself may be either). Exit code 1: it is not proven."""
    from ledger_client.errors import VerificationError
    from ledger_client.formats.bundle import is_bundle

    if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text.lower()):
        return "period", bytes.fromhex(text)
    path, now = Path(text), int(time.time())
    try:
        return ("period", _statement(path, trust, now)) if is_bundle(path) else ("balance", _balance(path, trust, now))
    except OSError as error:
        raise UsageError(f"{text}: {error.strerror}", "give a hash of 64 hexadecimal digits, or a file") from None
    except VerificationError as error:
        click.echo(clean(f"NOT PROVEN: {text}: {error}"), err=True)
        sys.exit(1)


def _statement(path: Path, trust: Trust, now: int) -> bytes:
    """The record hash of a statement by its proof. Raises VerificationError."""
    from ledger_client.formats.bundle import Bundle
    from ledger_client.formats.record import Event, record_hash
    from ledger_client.recompute.sources import files_read
    from ledger_client.verification.verify import verify

    (data,) = files_read([path])
    proven = verify(data, trust, now, kind="event")
    if not isinstance(proven.body, Event) or proven.body.name != "period":
        raise UsageError(f"{path}: is no proof of a statement", "give the .mseal of an event `period`")
    return record_hash(Bundle.parse(data).record)


def _balance(path: Path, trust: Trust, now: int) -> bytes:
    """The id of a balance's claim. Raises VerificationError."""
    from ledger_client.certificates.mcert.claims import counted
    from ledger_client.claims.claim import Balance
    from ledger_client.claims.given_claim import GivenClaim
    from ledger_client.recompute.sources import files_read
    from ledger_client.verification.online_facts import NOTHING_ASKED

    (data,) = files_read([path])
    found = counted(GivenClaim.decode(data), trust, now, NOTHING_ASKED)
    if not isinstance(found.deed, Balance):
        raise UsageError(f"{path}: is a claim of another kind", "give the balance.claim of `balance --sign`")
    return found.signed.id


def _units(sender: Sender, certs: Iterable[str], kind: type[Transfer | Retire | Export]) -> list[tuple[bytes, Part]]:
    """What was asked for, each certificate with units that are held next to each other; of one of which none is held
    any more those that a claim of this kind was of."""
    from ledger_client.accounting.formats.refusal import refuse
    from ledger_client.certificates.holding.parts import demand_apart, resolved, runs, written

    read, party = [written(text) for text in certs], sender.party.name
    held = {shown.certificate.id: shown.slices for shown in sender.registry.of_holder(party)}
    had = [deed for deed in sender.deeds() if isinstance(deed, kind)]
    named = [resolved(one, [*held, *(deed.cert for deed in had)]) for one in read]
    demand_apart(named)
    found: list[tuple[bytes, Part]] = []
    for one in named:
        parts = [one.part] if one.part is not None else runs(held.get(one.cert, ()), party)
        parts = parts or [deed.part for deed in had if deed.cert == one.cert]
        if not parts:
            refuse("R3", one.text, "no unit of it is held by this party", "see meterseal-ledger certificate list")
        found += [(one.cert, part) for part in parts]
    return found


def _sent(sender: Sender, deeds: Sequence[Deed], as_json: bool, more: Mapping[str, str] | None = None) -> None:
    """Send them all, once it is foreseen that the registry takes them all; else none, and exit code 1. What it would
    refuse because this party has claimed the same already is done."""
    from ledger_client.certificates.holding.foresight import foresee, shown_of
    from ledger_client.certificates.holding.sending import bare
    from ledger_client.certificates.holding.words import in_words
    from ledger_client.claims.claim import Export, Retire, Transfer, Withdraw
    from ledger_client.errors import Refused

    foreseen = list(zip(deeds, foresee(sender, deeds, shown_of(sender.registry, deeds)), strict=True))
    before = {bare(deed) for deed in sender.deeds() if isinstance(deed, Transfer | Retire | Export | Withdraw)}
    done = [deed for deed, error in foreseen if error is not None and bare(deed) in before]
    refused = [
        {"deed": in_words(d), **refusal_json(error)} for d, error in foreseen if error is not None and d not in done
    ]
    sent: list[Sent] = []
    for deed in () if refused else deeds:
        try:
            if deed not in done:
                sent.append(sender.send(deed))
        except Refused as error:  # somebody was faster
            refused = [{"deed": in_words(deed), **refusal_json(error)}]
            break
    lines = [f"claimed before: {in_words(deed)}" for deed in done]
    lines += [f"claim {one.signed.claim.number}: {in_words(one.signed.claim.deed)}" for one in sent]
    lines += [f"{name}: {value}" for name, value in (more or {}).items()]
    claims = [{**claim_json(one), "deed": in_words(one.signed.claim.deed)} for one in sent]
    if refused:
        lines.append("REFUSED, and nothing after it was sent:" if sent else "REFUSED, nothing was sent:")
        lines += ["  {deed}: {title}: {detail} ({rule})".format(**one) for one in refused]
    facts = {"done": not refused, "claims": claims, "before": [in_words(deed) for deed in done], "refused": refused}
    say({**facts, **(more or {})}, lines, as_json)
    sys.exit(1 if refused else 0)


def _hidden(folder: Path, whom: str) -> tuple[bytes, bytes]:
    """(SHA-256(salt ‖ name), salt), which are in the party's folder before anything is claimed (Z3)."""
    from ledger_client.claims.certificate import hidden
    from ledger_client.durable_files import write_text

    salt = secrets.token_bytes(_SALT)
    hashed = hidden(salt, whom)
    kept = folder / "for"
    try:
        kept.mkdir(mode=0o700, exist_ok=True)
        facts = {"for": hashed.hex(), "salt": salt.hex(), "name": whom}
        write_text(kept / f"{hashed.hex()}.json", json.dumps(facts, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"{kept}: {error.strerror}", "give a folder that may be written in") from None
    return hashed, salt
