"""Certificates, slices, quarters taken and serials used, in the log's database: ``claims.registry.State`` in SQL.

Derived from the claims of the log and written in the transaction that appends one; a replay of the log gives the same.
The claims themselves are entries, under ``owner(party)`` and their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ledger_client.claims.certificate import HELD, Certificate, Slice
from ledger_client.claims.claim import Balance, Offset, Part, parse_claim
from ledger_client.claims.registry import Books, standing
from ledger_client.formats import cbor
from ledger_client.transparency.log.store import Rows

OWNER: Final = "party/"
"""What whose entries are claims begins with; no gateway's name has a slash."""
TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS certificates (id BLOB PRIMARY KEY, issuer TEXT NOT NULL, holder TEXT NOT NULL, "
    "device BLOB NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, units INTEGER NOT NULL, "
    "period BLOB NOT NULL, row BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS certificates_of_device ON certificates (device, from_ms)",
    'CREATE TABLE IF NOT EXISTS slices (cert BLOB NOT NULL, begin INTEGER NOT NULL, "end" INTEGER NOT NULL, '
    "status TEXT NOT NULL, holder TEXT NOT NULL, PRIMARY KEY (cert, begin)) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS slices_of_holder ON slices (holder, cert)",
    "CREATE TABLE IF NOT EXISTS origins (device BLOB NOT NULL, quarter INTEGER NOT NULL, cert BLOB NOT NULL, "
    "PRIMARY KEY (device, quarter)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS serials (registry BLOB NOT NULL, project BLOB NOT NULL, vintage INTEGER NOT NULL, "
    "first INTEGER NOT NULL, last INTEGER NOT NULL, party TEXT NOT NULL, from_ms INTEGER NOT NULL, "
    "to_ms INTEGER NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS serials_of_project ON serials (registry, project, vintage, first)",
    "CREATE TABLE IF NOT EXISTS claims_of (cert BLOB NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (cert, number)) "
    "STRICT, WITHOUT ROWID",
)
"""What makes the tables, where they are not there yet: no older log has claims."""
_BALANCE: Final = cbor.encode({"op": "balance"})[1:]
"""What stands in every claim of a balance."""
_CERTIFICATE: Final = "id, issuer, holder, device, from_ms, to_ms, units, period, row"


def owner(party: str) -> str:
    """Whose entries the claims of a party are."""
    return OWNER + party


class ClaimTables:
    """The tables through a connection of the log; writes belong to the transaction that is under way."""

    def __init__(self, db: Rows) -> None:
        self._db = db

    def next_number(self, party: str) -> int:
        """See State."""
        query = "SELECT coalesce(max(batch) + 1, 0) FROM entries WHERE gateway = ?"
        return int(self._db.execute(query, (owner(party),)).fetchone()[0])

    def certificate(self, cert: bytes) -> Certificate | None:
        """See State."""
        row = self._db.execute(f"SELECT {_CERTIFICATE} FROM certificates WHERE id = ?", (cert,)).fetchone()
        return None if row is None else Certificate(*row)

    def slices(self, cert: bytes, part: Part) -> Sequence[Slice]:
        """See State."""
        query = (
            'SELECT begin, "end", status, holder FROM slices WHERE cert = ? AND begin < ? AND "end" > ? ORDER BY begin'
        )
        return [Slice(*row) for row in self._db.execute(query, (cert, part[1], part[0]))]

    def taken(self, device: bytes, quarters: range) -> bytes | None:
        """See State."""
        query = "SELECT cert FROM origins WHERE device = ? AND quarter >= ? AND quarter < ? ORDER BY quarter LIMIT 1"
        row = self._db.execute(query, (device, quarters.start, quarters.stop)).fetchone()
        return None if row is None else bytes(row[0])

    def serial(self, offset: Offset, books: Books) -> tuple[str, int] | None:
        """See State."""
        query = (
            "SELECT party, first FROM serials WHERE registry = ? AND project = ? AND vintage = ? "
            "AND first <= ? AND last >= ? AND NOT (party = ? AND from_ms >= ? AND to_ms <= ?) ORDER BY first LIMIT 1"
        )
        row = self._db.execute(query, (*_series(offset), offset.last, offset.first, *books)).fetchone()
        return None if row is None else (str(row[0]), max(int(row[1]), offset.first))

    def balances(self, party: str) -> Sequence[Books]:
        """See State. Of the log itself: no table has balances without serials."""
        query = "SELECT entry FROM entries WHERE gateway = ? AND instr(entry, ?) > 0 ORDER BY batch"
        claims = (parse_claim(bytes(row[0])).claim for row in self._db.execute(query, (owner(party), _BALANCE)))
        deeds = (claim.deed for claim in claims)
        return standing(Books(party, deed.from_ms, deed.to_ms) for deed in deeds if isinstance(deed, Balance))

    def count(self, party: str) -> None:
        """The entry that is appended counts."""

    def issue(self, certificate: Certificate) -> None:
        """See State."""
        made = certificate
        values = (
            made.id, made.issuer, made.holder, made.device, made.from_ms, made.to_ms, made.units, made.period, made.row,
        )  # fmt: skip
        self._db.execute(f"INSERT INTO certificates ({_CERTIFICATE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        self._add(made.id, [Slice(0, made.units, HELD, made.holder)])
        self._db.executemany(
            "INSERT INTO origins (device, quarter, cert) VALUES (?, ?, ?)",
            [(made.device, quarter, made.id) for quarter in made.quarters],
        )

    def replace(self, cert: bytes, old: Sequence[Slice], new: Sequence[Slice]) -> None:
        """See State."""
        self._db.executemany("DELETE FROM slices WHERE cert = ? AND begin = ?", [(cert, one.begin) for one in old])
        self._add(cert, new)

    def free(self, certificate: Certificate) -> None:
        """See State."""
        quarters = certificate.quarters
        self._db.execute(
            "DELETE FROM origins WHERE device = ? AND quarter >= ? AND quarter < ?",
            (certificate.device, quarters.start, quarters.stop),
        )

    def use(self, books: Books, offsets: Iterable[Offset]) -> None:
        """See State."""
        self._db.execute("DELETE FROM serials WHERE party = ? AND from_ms >= ? AND to_ms <= ?", books)
        self._db.executemany(
            "INSERT INTO serials (registry, project, vintage, first, last, party, from_ms, to_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*_series(one), one.first, one.last, *books) for one in offsets],
        )

    def note(self, cert: bytes, number: int) -> None:
        """That the log's entry ``number`` is about a certificate."""
        self._db.execute("INSERT INTO claims_of (cert, number) VALUES (?, ?)", (cert, number))

    def claims_of(self, cert: bytes) -> list[tuple[bytes, bytes]]:
        """(entry, receipt) of the claims about a certificate, in their order."""
        query = (
            "SELECT entry, receipt FROM entries JOIN claims_of USING (number) WHERE cert = ? ORDER BY entries.number"
        )
        return [(bytes(entry), bytes(receipt)) for entry, receipt in self._db.execute(query, (cert,))]

    def of_device(self, device: bytes, from_ms: int, to_ms: int, limit: int) -> list[Certificate]:
        """At most ``limit`` certificates of a device whose interval begins in [from, to), withdrawn ones too."""
        query = (
            f"SELECT {_CERTIFICATE} FROM certificates WHERE device = ? AND from_ms >= ? AND from_ms < ? "
            "ORDER BY from_ms, id LIMIT ?"
        )
        return [Certificate(*row) for row in self._db.execute(query, (device, from_ms, to_ms, limit))]

    def of_holder(self, party: str, after: bytes, limit: int) -> list[tuple[bytes, Slice]]:
        """Slices of a party, of certificates behind ``after`` in the order of ids: those of at most ``limit``
        certificates."""
        query = (
            'SELECT cert, begin, "end", status, holder FROM slices WHERE holder = ? AND cert IN (SELECT DISTINCT cert '
            "FROM slices WHERE holder = ? AND cert > ? ORDER BY cert LIMIT ?) ORDER BY cert, begin"
        )
        return [(bytes(row[0]), Slice(*row[1:])) for row in self._db.execute(query, (party, party, after, limit))]

    def _add(self, cert: bytes, slices: Sequence[Slice]) -> None:
        self._db.executemany(
            'INSERT INTO slices (cert, begin, "end", status, holder) VALUES (?, ?, ?, ?, ?)',
            [(cert, one.begin, one.end, one.status, one.holder) for one in slices],
        )


def _series(offset: Offset) -> tuple[bytes, bytes, int]:
    """Whose serials they are; texts as bytes, since PostgreSQL's have no U+0000."""
    return offset.registry.encode(), offset.project.encode(), offset.vintage
