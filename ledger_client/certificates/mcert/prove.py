"""Writing of certificate files: the members of one, out of batches, proofs, rows and claims, or out of an older file.

Whoever passes units on adds claims to the file that came with them, without batches or rows. Nothing is judged here but
whether it fits together; ``verify`` judges. Reads files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import LeafProof, Rows, leaf_proof, leaves, parse_row, salted_leaf
from ledger_client.certificates.mcert.claims import part_of
from ledger_client.certificates.mcert.edges import stated_edges
from ledger_client.certificates.mcert.file import MAX_FILE, CertificateFile
from ledger_client.claims.certificate import Certificate, certificate_named, certificate_of
from ledger_client.claims.claim import Attest, Issue, Part, SignedClaim, is_claim, parse_claim
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.errors import FileError, Malformed
from ledger_client.formats.batch_file import BatchFile, is_batch
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.merkle import Tree
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.record import Event, parse_record, record_hash


class Known(NamedTuple):
    """A claim and what it says."""

    given: GivenClaim
    signed: SignedClaim

    @property
    def made(self) -> Certificate | None:
        """The certificate that it issues, if it does."""
        claim = self.signed.claim
        return certificate_of(claim, claim.deed) if isinstance(claim.deed, Issue) else None

    @property
    def place(self) -> int:
        """Its entry in the log of its registry, or its block (claims of one block keep the order in which they are
        given); 0 where nothing tells."""
        if self.given.locator is not None:
            return self.given.locator.block
        indexes = (r.index for r in map(parse_receipt, self.given.receipts) if r.ledger == self.signed.claim.registry)
        return min(indexes, default=0)


class History(NamedTuple):
    """Claims that lead to units of a certificate, in their order; then those that attest its statement."""

    made: Certificate
    issue: Issue
    claims: list[Known]

    @property
    def part(self) -> Part:
        """The units that a file of it is about: those of the last claim that is not ``attest``."""
        last = next(one for one in reversed(self.claims) if not isinstance(one.signed.claim.deed, Attest))
        return _part(last, self.made)


class _Place(NamedTuple):
    """Where a row stands."""

    rows: Rows
    at: int
    grown: Tree


@dataclass(slots=True)
class Evidence:
    """What files hold: batches, proofs by the hash of their record, rows by their leaf, claims, and those about each
    certificate or statement."""

    batches: list[BatchFile] = field(default_factory=list)
    proofs: dict[bytes, bytes] = field(default_factory=dict)
    rows: dict[bytes, LeafProof | _Place] = field(default_factory=dict)
    claims: dict[bytes, Known] = field(default_factory=dict)
    _about: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    _absent: set[bytes] = field(default_factory=set)

    @classmethod
    def read(cls, paths: Iterable[Path], rows: Iterable[Path] = ()) -> Evidence:
        """Of ``.mbatch``, ``.mseal`` and ``.mcert`` files, claims and ``.mrows``. Raises FileError."""
        found = cls()
        for path in paths:
            try:
                found._take(path)
            except Malformed as error:
                way_out = "give .mbatch, .mseal, .mcert and .claim files; rows go with --rows"
                raise FileError(f"{path}: is none of a certificate's files: {error.detail}", way_out) from None
        for path in rows:
            try:
                found._take_rows(Rows.parse(_bytes(path)))
            except Malformed as error:
                way_out = "give the .mrows of the statement"
                raise FileError(f"{path}: is no rows file: {error.detail}", way_out) from None
        return found

    def add(self, claim: GivenClaim) -> None:
        """A claim; one that is known already only adds its receipts. Raises Malformed."""
        signed = parse_claim(claim.entry)
        known = self.claims.get(signed.id)
        if known is not None:
            receipts = tuple(dict.fromkeys((*known.given.receipts, *claim.receipts)))
            claim = GivenClaim(claim.entry, receipts, known.given.locator or claim.locator)
        self.claims[signed.id] = Known(claim, signed)
        deed = signed.claim.deed
        about = deed.period if isinstance(deed, Attest) else certificate_named(signed.claim)
        if about is not None:
            self._about.setdefault(about, {})[signed.id] = None

    def about(self, subject: bytes) -> list[Known]:
        """The claims about a certificate, or a statement that they attest, in the order of their registry's log."""
        return sorted((self.claims[hashed] for hashed in self._about.get(subject, ())), key=lambda one: one.place)

    def _take(self, path: Path) -> None:
        data = _bytes(path, MAX_FILE + 1)
        if is_batch(data):
            self.batches.append(BatchFile.open(path))
        elif (old := _certificate_of(data)) is not None:
            self.rows[salted_leaf(old.row.salt, old.row.row)] = old.row
            for bundle in (old.plan, old.period, *old.edges):
                self.proofs[record_hash(Bundle.parse(bundle).record)] = bundle
            for claim in old.claims:
                self.add(claim)
        elif (given := _claim_of(data)) is not None:
            self.add(given)
        else:
            self.proofs[record_hash(Bundle.parse(data).record)] = data

    def _take_rows(self, rows: Rows) -> None:
        hashes = list(leaves(rows.secret, rows.rows))
        grown = Tree(hashes)
        for at, leaf in enumerate(hashes):
            self.rows.setdefault(leaf, _Place(rows, at, grown))

    def issued(self) -> list[bytes]:
        """The certificates that its claims issue."""
        return [made.id for known in self.claims.values() if (made := known.made) is not None]

    def row(self, leaf: bytes) -> LeafProof | None:
        """The row of a leaf, with its proof; None: no file has it."""
        found = self.rows.get(leaf)
        return leaf_proof(*found) if isinstance(found, _Place) else found

    def gather(self, records: Iterable[bytes]) -> None:
        """Take the proofs of records, by their hashes, out of the batches; each batch is read once for all of them."""
        missing = set(records) - self.proofs.keys() - self._absent
        for batch in self.batches:
            if not missing:
                break
            held = {hashed: n for n, data in enumerate(batch.records()) if (hashed := record_hash(data)) in missing}
            if held:
                self.proofs |= zip(held, (bundle for _, bundle in batch.proofs(held.values())), strict=True)
                missing -= held.keys()
        self._absent |= missing

    def find(self, records: Iterable[bytes], what: str) -> list[bytes]:
        """The proofs of records, by their hashes. Raises AccountingError where a file lacks one."""
        wanted = list(records)
        self.gather(wanted)
        missing = [record for record in wanted if record not in self.proofs]
        if missing:
            refuse("V1", what, f"no file holds record {min(missing).hex()}", "give its batch, or its .mseal")
        return [self.proofs[record] for record in wanted]


def prove(evidence: Evidence, cert: bytes, part: Part | None) -> CertificateFile:
    """The file of units [a, b) of a certificate (None: all of them).

    Raises AccountingError: a claim, the row or a record is in no file, or the units have not one history.
    """
    return file_of(evidence, history(evidence, cert, part))


def file_of(evidence: Evidence, chain: History) -> CertificateFile:
    """The file of a history. Raises AccountingError: the row or a record is in no file."""
    row = evidence.row(chain.issue.row)
    if row is None:
        refuse("T1", "row", "no file has the row of this certificate", "give the .mrows of the statement, or a .mcert")
    (period,) = evidence.find([chain.issue.period], "statement")
    named = plan_named(period)
    if named is None:
        refuse("T1", "statement", "the issue names a record that is no statement", "ask the issuer")
    (plan,) = evidence.find([named], "plan")
    edges = tuple(evidence.find(looks_of(row), "row"))
    return CertificateFile(row, plan, edges, period, tuple(known.given for known in chain.claims))


def plan_named(period: bytes) -> bytes | None:
    """The plan that a statement names, by its hash; ``period``: its proof. None: it is no statement."""
    body = parse_record(Bundle.parse(period).record).body
    named = body.fields.get("plan") if isinstance(body, Event) else None
    return named if isinstance(named, bytes) else None


def looks_of(row: LeafProof) -> list[bytes]:
    """The readings at the edges of a row, by their hashes, each once."""
    return list(dict.fromkeys(look for edge in stated_edges(parse_row(row.row)) for look in edge.looks))


def history(evidence: Evidence, cert: bytes, part: Part | None) -> History:
    """From the issue to the last claim about these units, with every claim between that made it possible; then what
    attests the statement. Raises AccountingError: the issue is not there, or the units have not one history."""
    everything = evidence.about(cert)
    first = next((one for one in everything if isinstance(one.signed.claim.deed, Issue)), None)
    if first is None or (made := first.made) is None:
        refuse("V1", cert.hex(), "no claim that is given issues this certificate", "give --registry, or a .mcert of it")
    moves = [first, *(one for one in everything if not isinstance(one.signed.claim.deed, Issue))]
    wanted = part or made.whole
    last = max(n for n, one in enumerate(moves) if _overlap(_part(one, made), wanted))
    hull = _part(moves[last], made)
    if not hull[0] <= wanted[0] < wanted[1] <= hull[1]:
        parts = ", ".join(dict.fromkeys("{}-{}".format(*_part(one, made)) for one in moves[1:]))
        way_out = f"prove one after the other; claims are about the units {parts}"
        refuse("V1", f"{wanted[0]}-{wanted[1]}", "these units have more than one history", way_out)
    kept = list[Known]()
    for one in reversed(moves[: last + 1]):
        moved = _part(one, made)
        if _overlap(moved, hull):
            hull = min(hull[0], moved[0]), max(hull[1], moved[1])
            kept.insert(0, one)
    issue = first.signed.claim.deed
    assert isinstance(issue, Issue)
    return History(made, issue, [*kept, *evidence.about(issue.period)])


def _part(one: Known, made: Certificate) -> Part:
    return part_of(one.signed.claim.deed, made)


def _overlap(one: Part, other: Part) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _certificate_of(data: bytes) -> CertificateFile | None:
    try:
        return CertificateFile.parse(data)
    except Malformed:
        return None


def _claim_of(data: bytes) -> GivenClaim | None:
    try:
        found = GivenClaim.decode(data)
        return found if is_claim(found.entry) else None
    except Malformed:
        return None


def _bytes(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", "give the path of a file that may be read") from None
