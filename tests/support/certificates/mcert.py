"""A station whose quarters of an hour are certified: statement, plan, readings, parties with fixed keys, a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ledger_client.accounting.formats.rows import Row, Rows, leaf_proof, parse_row, row_bytes, salted_leaf
from ledger_client.certificates.mcert.edges import stated_edges
from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.claims.certificate import certificate_of
from ledger_client.claims.claim import Claim, Deed, Issue, Origin, parse_claim, sign_claim
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.record import record_hash
from ledger_client.formats.statement import id_text, statement_id
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_text import entry_of, key_entry
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import GATEWAY, LEDGER, T0, VALID_FROM, key, moment

ISSUER, MINT, FORMER = "issuer-1", "issuer-2", "issuer-0"
OWNER, WORKS, MILL, AUDITOR = "hydro-owner", "works", "mill", "auditor"
ROLES = {ISSUER: "issuer", MINT: "issuer", FORMER: "issuer", OWNER: "party", WORKS: "party", AUDITOR: "verifier"}
"""Of who has a key in the trust file; MILL receives units and has none there."""
DEVICE = "CN-YN-07-1"
CLAIMED_S = T0 + 20_000
"""When the registry takes the first claim."""
CERTIFICATE = {
    "id": DEVICE, "name": "Hydro 07", "source": "water", "technology": "run of river", "capacity": 2_000_000,
    "commissioned": "2012-05-01", "location": "25.04,102.71", "configuration": 1, "class": "hydro", "scheme": "gc",
}  # fmt: skip


def certified_plan(from_ms: int, *, certificate: Mapping[str, Any] = CERTIFICATE, **also: Any) -> dict[str, Any]:
    """A plan of one station with a device; ``also``: of its node."""
    fields = plan_fields(from_ms)
    fields["nodes"]["station"] |= {"certificate": dict(certificate), "registry": LEDGER, "zone": "CN-YN"} | also
    return fields


def trust_of(*, limits: Mapping[str, str] | None = None, **changes: Any) -> Trust:
    """The trust file of somebody who knows the site and the parties; ``limits``: further lines of a party's entry."""
    return trusted(extra=_entries(limits or {}), **changes)


def trust_text() -> str:
    """The same as a file."""
    site = trusted()
    policy = '[policy]\nreceipts = 1\nledgers = ["' + LEDGER + '"]\n\n'
    return policy + "\n".join(map(entry_of, site.keys)) + "\n" + _entries({})


def _entries(limits: Mapping[str, str]) -> str:
    usual = {FORMER: f"revoked = {moment(CLAIMED_S)}\n"} | dict(limits)
    return "".join(
        key_entry(role, key(name).public, VALID_FROM, party=name) + usual.get(name, "") for name, role in ROLES.items()
    )


@dataclass
class Registry:
    """The log of a registry: each claim is an entry of it, and has its receipt from the tree as it is then."""

    name: str = LEDGER
    entries: list[bytes] = field(default_factory=lambda: [b"policy"])
    numbers: dict[str, int] = field(default_factory=dict)

    def claim(self, party: str, deed: Deed, **changes: Any) -> GivenClaim:
        """The next claim of a party, with its receipt; ``changes``: number, registry, iat, signer, by, time_s."""
        number = changes.get("number", self.numbers.get(party, 0))
        self.numbers[party] = number + 1
        time_s = changes.get("time_s", CLAIMED_S + 60 * len(self.entries))
        claim = Claim(party, number, changes.get("registry", self.name), changes.get("iat", time_s - 5), deed)
        entry = sign_claim(claim, changes.get("signer") or key(party))
        return GivenClaim(entry, (self.receipt(entry, time_s, changes.get("by", self.name)),))

    def receipt(self, entry: bytes, time_s: int, by: str = LEDGER) -> bytes:
        """For an entry that this appends."""
        self.entries.append(entry)
        tree, place = Tree(map(leaf_hash, self.entries)), len(self.entries) - 1
        path = tree.path(place)
        return sign_receipt(by, id_text(statement_id(entry)), time_s, tree.size, place, path, tree.root, key(by))


@dataclass
class Certified:
    """A site that has stated so many quarters, and its registry."""

    site: Accounted
    rows: Rows
    plan: bytes
    period: bytes
    proofs: dict[bytes, bytes]
    """Every record of its batches that a row, an issue or a statement names, as a proof, by record hash."""
    registry: Registry = field(default_factory=Registry)

    @classmethod
    def made(
        cls, folder: Path, plan: Callable[[int], dict[str, Any]] = certified_plan, quarters: int = 4, *,
        register: int = 1000, lie: Callable[[Row], Row] | None = None, late_s: int = 0,
        polling: Callable[[Accounted, int], None] = Accounted.polls,
    ) -> Certified:  # fmt: skip
        """A ``plan`` from a moment on, polls for so many quarters, and their statement.

        Args:
            register: what it shows before the first poll, in kWh.
            lie: makes of each row the one that is stated.
            late_s: so many seconds the ledgers get the plan after its readings.
            polling: polls so many times.
        """
        site = Accounted(folder, register=register)
        from_ms = site.from_ms
        site.publish(plan(from_ms))
        polling(site, quarters * 90 + 20)
        site.gateway.behind_s = late_s
        site.seal()
        site.gateway.behind_s = 0
        statement, path = site.state(from_ms, from_ms + quarters * QUARTER_MS, (0, 0))
        rows = Rows.parse(path.read_bytes())
        if lie is not None:
            rows = Rows(rows.secret, tuple(row_bytes(lie(parse_row(row))) for row in rows.rows))
            site.event("period", **{**statement.fields, "rows": [len(rows.rows), rows.root]})
        period = record_hash(site.rows[-1])
        site.polls(2)
        site.seal()
        wanted = {site.plan, period, *(look for row in rows.rows for look in looks_of(parse_row(row)))}
        return cls(site, rows, site.plan, period, dict(proofs_of(site.files, wanted)))

    def row(self, place: int) -> Row:
        return parse_row(self.rows.rows[place])

    def issue(self, place: int = 0, to: str = OWNER, **changes: Any) -> Issue:
        """What an issuer claims of a row; ``changes`` of the deed."""
        row = self.row(place)
        assert row.amount is not None
        origin = Origin(GATEWAY, row.node, DEVICE, row.from_ms, row.to_ms)
        leaf = leaf_of(self.rows, place)
        return replace(Issue(origin, row.amount // 1000, to, self.period, leaf), **changes)

    def file(self, *claims: GivenClaim, place: int = 0, **changes: Any) -> CertificateFile:
        """The file of a row and claims; ``changes`` of its members."""
        edges = tuple(self.proofs[look] for look in looks_of(self.row(place)))
        made = CertificateFile(
            leaf_proof(self.rows, place), self.proofs[self.plan], edges, self.proofs[self.period], claims
        )
        return replace(made, **changes)


def leaf_of(rows: Rows, place: int) -> bytes:
    """The leaf of a row."""
    proof = leaf_proof(rows, place)
    return salted_leaf(proof.salt, proof.row)


def looks_of(row: Row) -> list[bytes]:
    """The readings that a row names, each once."""
    return list(dict.fromkeys(look for edge in stated_edges(row) for look in edge.looks))


def proofs_of(files: list[Path], wanted: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for path in files:
        file = BatchFile.open(path)
        for index, record in enumerate(file.records()):
            if (hashed := record_hash(record)) in wanted:
                yield hashed, file.prove(index)[1]


def cert_of(claim: GivenClaim) -> bytes:
    """The id of the certificate that a claim issues."""
    signed = parse_claim(claim.entry)
    assert isinstance(signed.claim.deed, Issue)
    return certificate_of(signed.claim, signed.claim.deed).id


def record_of(bundle: bytes) -> bytes:
    return Bundle.parse(bundle).record
