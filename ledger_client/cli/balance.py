"""Commands ``meterseal-ledger balance`` and ``neutrality``: a party's load, certificates and offsets, hour by hour."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from ledger_client.cli.terminal.options import FORCE, UsageError, demand_replaceable
from ledger_client.cli.terminal.trusted import load_in_force, trusting
from ledger_client.errors import FileError, LedgerClientError, VerificationError
from ledger_client.verification.explain import clean
from ledger_client.verification.trust import Trust

if TYPE_CHECKING:
    from ledger_client.balance.form import Form
    from ledger_client.balance.result import Result
    from ledger_client.claims.claim import Balance

JSON_FILE, CSV_FILE, PAGE_FILE, CLAIM_FILE = "balance.json", "hours.csv", "balance.html", "balance.claim"
_MOST_FORM: Final = 4 << 20
_HEAD: Final = 512
_PAGE_MARK: Final = b"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-"
"""What stands in the head of the page, and of no other file of ours."""

_OPTIONS = (
    click.argument("form", metavar="BALANCE.toml", type=click.Path(path_type=Path)),
    trusting(help="believed, and nothing else"),
    click.option("-o", "--output", metavar="DIR", type=click.Path(path_type=Path),
                 help=f"where {JSON_FILE}, {CSV_FILE} and {PAGE_FILE} go"),
    click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="of the page"),
    click.option("--sign", is_flag=True, help="claim it at a registry, with --key and --registry"),
    click.option("--key", "folder", metavar="DIR", type=click.Path(path_type=Path),
                 help="for --sign: the party's folder (`meterseal-ledger party new`)"),
    click.option("--registry", metavar="NAME=URL", help="for --sign: where the claim is ordered"),
    click.option("--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of an https address"),
    click.option("--check", "claim", metavar="CLAIM", type=click.Path(path_type=Path),
                 help="compare a signed balance with what its files give"),
    click.option("--json", "as_json", is_flag=True, help="one JSON object and nothing else"),
    FORCE,
)  # fmt: skip


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_options
def balance(**given: Any) -> None:
    """Balance a party's load with what was retired for it, hour by hour, and its emissions by both methods.

    BALANCE.toml names statements, certificate files, factors and offsets (docs/claims.md). Every figure comes from rows
    and certificates that are proven. Exit 1: something of it does not belong to this balance, or differs from --check.
    """
    _run(**given)


@click.command()
@_options
def neutrality(**given: Any) -> None:
    """As `balance`, with the verdict: exit 0 only where offsets leave nothing of scope 1 and 2, and nothing is open.

    The first line says yes or no, and who attests it. Each statement is recomputed from its batches, unless a verifier
    of the trust file attests it (B6); what the party chose itself waits for verifiers of the balance (B7). That nothing
    is left is said of what the boundary names: it is no seal of anybody, and offsets are not verified.
    """
    result = _run(**given, judged=True)
    if not result.neutralised:
        sys.exit(1)


def _run(
    *, form: Path, trust_file: Path, output: Path | None, lang: str, sign: bool, folder: Path | None,
    registry: str | None, ca: Path | None, claim: Path | None, as_json: bool, force: bool, judged: bool = False,
) -> Result:  # fmt: skip
    from ledger_client.accounting import factors
    from ledger_client.accounting.formats.refusal import AccountingError
    from ledger_client.balance.citing import claim_of, totals
    from ledger_client.balance.form import parse_form
    from ledger_client.balance.words import finding_in_words, headline, in_words
    from ledger_client.balance.writing import attested

    _demand_together(sign=sign, folder=folder, registry=registry, ca=ca, claim=claim, output=output)
    trust = load_in_force(trust_file)
    read = parse_form(_form_bytes(form), factors.load())
    try:
        result, notes = _made(read, form.parent, trust, judged=judged)
        deed = claim_of(result) if sign or claim is not None else None
    except FileError:
        raise
    except (AccountingError, VerificationError) as error:
        _refused(error, as_json=as_json)
    for note in notes:
        click.echo(clean(f"note: {note}"), err=True)
    facts: dict[str, Any] = {}
    if output is not None:
        facts["files"] = [str(path) for path in _written(result, output, lang, force=force)]
    if deed is not None and claim is not None:
        _compared(claim, result, trust, as_json=as_json)
    if deed is not None and sign and folder is not None and registry is not None and output is not None:
        facts["claim"] = _signed(deed, result, folder, registry, trust_file, ca, output / CLAIM_FILE)
    if as_json:
        document = {
            "party": result.party, "neutralised": result.neutralised, "attested": attested(result),
            "headline": headline(result) if judged else None,
            "totals": {key: f"{total:f}" for key, total in totals(result).items()},
            "findings": [one._asdict() | {"text": finding_in_words(one)} for one in result.findings],
        }  # fmt: skip
        click.echo(json.dumps(document | facts, ensure_ascii=False))
    else:
        click.echo("\n".join(map(clean, [*([headline(result)] if judged else ()), *in_words(result)])))
        for path in facts.get("files", ()):
            click.echo(f"wrote {path}", err=True)
    return result


def _demand_together(
    *, sign: bool, folder: Path | None, registry: str | None, ca: Path | None, claim: Path | None, output: Path | None
) -> None:
    if sign and (folder is None or registry is None or output is None):
        raise UsageError("--sign needs --key, --registry and -o", "give the party's folder, NAME=URL, and a folder")
    if not sign and (folder is not None or registry is not None or ca is not None):
        raise UsageError("--key, --registry and --ca have no effect without --sign", "leave them out, or sign")
    if sign and claim is not None:
        raise UsageError("--check compares a claim that is signed", "leave out --sign")


def _form_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_FORM)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}; give the path of a file that may be read") from None


def _made(form: Form, folder: Path, trust: Trust, *, judged: bool) -> tuple[Result, list[str]]:
    """The balance of a form, and what its reader should know; ``judged``: its statements are recomputed, attestations
    are read. Raises AccountingError, FileError, VerificationError."""
    from ledger_client.balance.gathering import gathered
    from ledger_client.balance.reckoning import balance as reckon
    from ledger_client.balance.reviewing import reviewed
    from ledger_client.collector import seldom

    now = int(time.time())
    with seldom():
        found = gathered(form, folder, trust, now)
        made = reckon(found.terms, found.sources, found.slices, found.offsets)
    return reviewed(form, folder, found, made, trust, now) if judged else made, found.notes


def _written(result: Result, folder: Path, lang: str, *, force: bool) -> Iterator[Path]:
    """The files of a balance."""
    from ledger_client.balance import writing
    from ledger_client.balance.page.render import render
    from ledger_client.durable_files import whole_file

    made = (
        (JSON_FILE, writing.as_json(result), writing.BEGINNING),
        (CSV_FILE, writing.hours_csv(result), ",".join(writing.HEADER).encode()),
        (PAGE_FILE, render(result, lang).encode(), _PAGE_MARK),
    )
    for name, _, mark in made:
        _demand_own(folder / name, mark, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data, _ in made:
            with whole_file(folder / name) as file:
                file.write(data)
            yield folder / name
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}", "give a folder that can be written") from None


def _demand_own(path: Path, mark: bytes, *, force: bool) -> None:
    def has(file: Path) -> bool:
        with file.open("rb") as stream:
            return mark in stream.read(_HEAD)

    demand_replaceable(path, f"{path.name} of a balance", has, force=force)


def _signed(
    deed: Balance, result: Result, folder: Path, registry: str, trust_file: Path, ca: Path | None, path: Path
) -> dict[str, Any]:
    """Claim it; the claim with its receipt lies beside the balance. Exit code 1 where the registry refuses."""
    from ledger_client.cli.certificates.common import claim_json, connected
    from ledger_client.durable_files import whole_file
    from ledger_client.enrolment.party_folder import load
    from ledger_client.errors import Refused
    from ledger_client.formats.statement import attach_receipts

    party = load(folder)
    if party.name != result.party:
        problem = f"{folder}: is of {party.name}, and the balance is of {result.party}"
        raise UsageError(problem, "give the folder of the balance's party")
    try:
        with connected(folder, registry, trust_file, ca) as sender:
            sent = sender.send(deed)
    except Refused as error:
        click.echo(clean(f"REFUSED by the registry: {error.title}: {error.detail}"), err=True)
        sys.exit(1)
    with whole_file(path) as file:
        file.write(attach_receipts(sent.signed.entry, [sent.receipt]))
    click.echo(f"claim {sent.signed.claim.number} of {party.name} is at the registry: {path}", err=True)
    return claim_json(sent)


def _compared(path: Path, result: Result, trust: Trust, *, as_json: bool) -> None:
    """Ends with exit code 1 where a claim does not count, or says otherwise."""
    from ledger_client.balance.citing import differences_of
    from ledger_client.certificates.mcert.claims import counted
    from ledger_client.claims.claim import Balance
    from ledger_client.claims.given_claim import GivenClaim
    from ledger_client.formats.statement import detach_receipts
    from ledger_client.recompute.sources import files_read
    from ledger_client.verification.online_facts import NOTHING_ASKED

    (data,) = files_read([path])
    try:
        found = counted(GivenClaim(*detach_receipts(data)), trust, int(time.time()), NOTHING_ASKED)
    except VerificationError as error:
        _refused(error, as_json=as_json, what="NOT VERIFIED")
    claim = found.signed.claim
    if not isinstance(claim.deed, Balance):
        raise UsageError(f"{path}: is a claim of another kind", f"give the {CLAIM_FILE} of a balance")
    lines = [one.in_words for one in differences_of(claim.party, claim.deed, result)]
    if not lines:
        return
    way_out = "give the form, the files and the documents that were signed, or sign this balance and have it attested"
    if as_json:
        answer = {"check": "differs", "rule": "B4", "differences": lines, "fix": way_out}
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        text = ["DIFFERS (B4)", *(f"  {line}" for line in lines), f"fix: {way_out}"]
        click.echo("\n".join(map(clean, text)), err=True)
    sys.exit(1)


def _refused(error: LedgerClientError, *, as_json: bool, what: str = "REFUSED") -> NoReturn:
    if as_json:
        answer = {"refused": str(error.placed), "rule": getattr(error, "rule", None), "fix": str(error.way_out)}
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        click.echo("\n".join(map(clean, f"{what}: {error.in_lines}".splitlines())), err=True)
    sys.exit(1)
