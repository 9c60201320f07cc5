"""Certificate file (``.mcert``): a row of a statement with everything that leads to it and on to a slice's holder.

One deterministic CBOR map: the row with its place under the statement's root; plan, readings at the edges and
statement, each as the bytes of its proof (``.mseal``); the claims, each with its receipts in header 394, one of a chain
beside its locator. The first claim issues; the file is about the units of the last one that is no ``attest``.
Never a source of trust. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger_client.accounting.formats.rows import SALT_SIZE, LeafProof, parse_row
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.errors import Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import MAX_BUNDLE, MAX_RECORD, array, blob, proof, table, within, writing

VERSION: Final = 1
SUFFIX: Final = ".mcert"
MAX_FILE: Final = 16 << 20  # bytes
MAX_EDGES: Final = 256  # readings: up to four of each point of a node
MAX_CLAIMS: Final = 1024


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """What a file holds; ``row`` was read, the other members are bytes that nothing has looked into."""

    row: LeafProof
    plan: bytes
    edges: tuple[bytes, ...]
    period: bytes
    claims: tuple[GivenClaim, ...]

    def encode(self) -> bytes:
        """The file; ``EncodeError`` for what ``parse`` would refuse."""
        salt, row, size, place, path = self.row
        data = cbor.encode(
            {
                "v": VERSION,
                "row": [salt, row, size, place, list(path)],
                "plan": self.plan,
                "edges": list(self.edges),
                "period": self.period,
                "claims": [claim.plain() for claim in self.claims],
            }
        )
        with writing("certificate file"):
            self.parse(data)
        return data

    @classmethod
    def parse(cls, data: bytes) -> CertificateFile:
        """Read a file strictly; ``Malformed`` for anything else."""
        decoded = cbor.decode(within(data, MAX_FILE, "the certificate file"))
        fields = table(decoded, "certificate file", {"v", "row", "plan", "edges", "period", "claims"})
        if type(fields["v"]) is not int or fields["v"] != VERSION:
            raise Malformed(f"certificate file version {fields['v']!r}; this program reads version {VERSION}")
        edges = [_member(edge, "an edge") for edge in array(fields["edges"], "edges", 0, MAX_EDGES)]
        claims = array(fields["claims"], "claims", 1, MAX_CLAIMS)
        return cls(
            _row(fields["row"]), _member(fields["plan"], "the plan"), tuple(edges),
            _member(fields["period"], "the period"), tuple(map(GivenClaim.of, claims)),
        )  # fmt: skip


def is_certificate_file(path: Path) -> bool:
    """Whether a file is one. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    try:
        CertificateFile.parse(data)
    except Malformed:
        return False
    return True


def _member(value: object, what: str) -> bytes:
    if type(value) is not bytes:
        raise Malformed(f"{what} is not a byte string")
    return within(value, MAX_BUNDLE, what)


def _row(value: object) -> LeafProof:
    salt, row, *place = array(value, "row", 5, 5)
    parse_row(row)
    size, index, path = proof(place, "row", 0)
    return LeafProof(blob(salt, "the row's salt", SALT_SIZE), within(row, MAX_RECORD, "the row"), size, index, path)
