"""Review of a balance: its statements are recomputed or attested (B6), and verifiers may attest the balance (B7).

Reads batch files and claims; believes the trust file only. A statement that a verifier attests needs no batches here:
that verifier has recomputed it. What a party chose itself no recomputation can judge, so it waits for verifiers of the
whole balance; they attest its claim, and the claim has to come out of the form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.balance.citing import differences_of
from ledger_client.balance.form import FILE, Form
from ledger_client.balance.gathering import Gathered, Site, paths
from ledger_client.balance.result import UNCITED, UNUSUAL, Finding, Result, Review
from ledger_client.certificates.mcert.claims import Counted, counted
from ledger_client.claims.attestation import Opinion, last_words, unmodified
from ledger_client.claims.claim import Balance
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.collector import seldom
from ledger_client.errors import VerificationError
from ledger_client.inputs.unusual import Unusual
from ledger_client.recompute.run import Given, recompute_scanned
from ledger_client.recompute.run import Result as Recomputation
from ledger_client.recompute.sources import files_read, is_proof, scan
from ledger_client.recompute.supplied import supplied, unusual_of
from ledger_client.verification.online_facts import NOTHING_ASKED
from ledger_client.verification.trust import Trust


@dataclass(slots=True)
class _Opinions:
    """What verifiers say, of each statement by its record hash, and of the balance."""

    statements: dict[bytes, list[Opinion]] = field(default_factory=lambda: defaultdict(list))
    balance: list[Opinion] = field(default_factory=list)


def reviewed(form: Form, folder: Path, found: Gathered, made: Result, trust: Trust, now: int) -> Result:
    """The balance with its review; paths are relative to ``folder``.

    Raises:
        AccountingError: a statement is not what its batches give, an attestation is of something else or does not
            count, or the signed claim is of another balance.
        FileError: a file cannot be read.
    """
    needed = max(1, trust.attested)
    opinions = _opinions(form, folder, found, _signed(form, folder, made, trust, now), trust, now)
    more = list[Finding]()
    for number, site in enumerate(found.sites, 1):
        attested = {record for record, several in opinions.statements.items() if len(unmodified(several)) >= needed}
        if open_ := [stated.record for stated in site.cited if stated.record not in attested]:
            more += _recomputed(site, open_, f"{FILE}.site {number}: {site.gateway}", trust, now)
    known = {key.gateway for key in trust.keys if key.gateway is not None}
    if uncited := sorted(known - {site.gateway for site in found.sites}):
        more.append(Finding("B6", UNCITED, len(uncited), ", ".join(uncited)))
    counting = unmodified(opinions.balance)
    names = {name for name, _ in counting}
    others = {name: one.deed.verdict for name, one in last_words(opinions.balance).items() if name not in names}
    return made.reviewed(Review(counting, tuple(others.items()), needed), more)


def _claim(path: Path, where: str, trust: Trust, now: int) -> Counted:
    """A claim that counts. Refuses any other (B7)."""
    (data,) = files_read([path])
    try:
        return counted(GivenClaim.decode(data), trust, now, NOTHING_ASKED)
    except VerificationError as error:
        way_out = "give a claim with its registry's receipt, by a key that your trust file gives to its sender in that "
        refuse("B7", f"{where}: {path.name}", f"it does not count: {error.detail}", f"{way_out}role, valid then")


def _signed(form: Form, folder: Path, made: Result, trust: Trust, now: int) -> bytes | None:
    """The id of the claim that the form names, if it is of this balance; None: it names none."""
    if form.signed is None:
        return None
    where = f"{FILE}.signed"
    one = _claim(folder / form.signed, where, trust, now)
    if not isinstance(one.deed, Balance):
        refuse("B7", where, f"{form.signed} is a claim of another kind", "give the balance.claim of `balance --sign`")
    facts = differences_of(one.signed.claim.party, one.deed, made)
    if facts:
        problem = f"{form.signed} is not of this balance: {'; '.join(fact.in_words for fact in facts)}"
        refuse("B7", where, problem, "give the form and files that were signed, or sign it again and have it attested")
    return one.signed.id


def _opinions(
    form: Form, folder: Path, found: Gathered, signed: bytes | None, trust: Trust, now: int
) -> _Opinions:  # fmt: skip
    """Attestations that the form names; the signed claim itself may be among the files. Refuses other claims (B7)."""
    opinions, where = _Opinions(), f"{FILE}.attestations"
    cited = {stated.record for site in found.sites for stated in site.cited}
    for path in paths(folder, form.attestations, where):
        one = _claim(path, where, trust, now)
        if one.signed.id == signed:
            continue
        if (opinion := one.opinion) is None:
            refuse("B7", f"{where}: {path.name}", "it attests nothing", "name claims `attest` of verifiers alone")
        about = opinion.deed.period
        if about == signed:
            opinions.balance.append(opinion)
        elif about in cited:
            opinions.statements[about].append(opinion)
        else:
            of = "neither of a cited statement nor of the claim in `signed`" if signed else "of no cited statement"
            problem = f"{opinion.verifier} attests {about.hex()}, which is {of}"
            way_out = "have this balance attested: sign it, name its claim in `signed`, and ask for a verdict of that"
            refuse("B7", f"{where}: {path.name}", problem, way_out)
    return opinions


def _recomputed(site: Site, records: Sequence[bytes], where: str, trust: Trust, now: int) -> Iterator[Finding]:
    """What is unusual among the inputs of statements that are what their batches give. Refuses others (B6)."""
    spans = {stated.record: utc_text(stated.span[0]) for stated in site.cited}
    if all(map(is_proof, site.files)):
        problem = f"the statement of {spans[records[0]]} has no batches, and no verifier attests it"
        refuse("B6", where, problem, "give its batches (.mbatch), or name an attestation of it in `attestations`")
    sources, rows = scan(site.files, trust, now), Given.read(site.rows)
    with seldom():
        result = recompute_scanned(sources, rows, site.files, trust, now, reviewed=True)
    if not result.audit.sound:
        first = result.audit.findings[0].detail
        refuse("B6", where, f"NOT EQUAL: the audit of its batches is not sound: {first}", _MORE)
    judged = {one.record: one for one in result.periods}
    for record in records:
        one = judged.get(record)
        if one is None or not one.equal:
            rule, place, stated, value = one.differences[0] if one else ("T1", "period", None, "no batch holds it")
            problem = f"the statement of {spans[record]} is NOT EQUAL to what its batches give: "
            problem += f"{place}: stated {stated or 'nothing'}, recomputed {value} ({rule})"
            refuse("B6", where, problem, _MORE)
    yield from _unusual(site, result, frozenset(records))


_MORE = "meterseal-ledger recompute says more: cite a statement that its batches give"


def _unusual(site: Site, result: Recomputation, records: frozenset[bytes]) -> Iterator[Finding]:
    """Unusual inputs, which a verifier has to look at (B7): a finding for each code, with the sentence of its first."""
    documents = {sha256(data).digest(): path.name for path in site.documents for data in files_read([path])}
    others = result.sources.periods.keys() - records
    by_code = defaultdict[str, list[Unusual]](list)
    for one in unusual_of(supplied(site.gateway, result, documents), result):
        if one.record not in others:
            by_code[one.code].append(one)
    for code, several in by_code.items():
        yield Finding("B7", UNUSUAL, len(several), f"{site.gateway}: {code}: {several[0].sentence}")
