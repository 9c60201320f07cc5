"""Rows of a statement: their bytes, salts, leaves and tree, and the ``.mrows`` file (rules N5, T1, Z1). Pure.

A row is one node in one interval (or longer: a stretch, a period). Rows are CBOR in the deterministic encoding of all
evidence. A leaf is SHA-256(0x00 ‖ salt ‖ row), so that one row can be shown without letting others be guessed.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

import cbor2

from ledger_client.accounting.formats.numbers import MILLI, fitting, mantissa_of
from ledger_client.accounting.formats.words import RANK
from ledger_client.errors import Malformed
from ledger_client.formats import cbor
from ledger_client.formats.cbor import head_bytes
from ledger_client.formats.checks import array, blob, name, table, time_ms
from ledger_client.formats.merkle import Tree

VERSION: Final = 1
SUFFIX: Final = ".mrows"
SECRET_SIZE, SALT_SIZE = 32, 16
_DECIMAL: Final = 4
_BYTES, _ARRAY = 2, 4
_LOOK: Final = head_bytes(_BYTES, 32)
_EDGES: Final = cbor2.dumps({"edges": 0})[:-1]
_THOUSANDTHS: Final = cbor2.dumps(cbor2.CBORTag(_DECIMAL, [MILLI, 0]))[:-1]
FACTS: Final = (
    "edges", "jumps", "factor", "inputs", "method", "reason", "analyses", "population", "retrospective",
)  # fmt: skip
"""What a row may say besides, in the order in which the encoding has them."""


class Row(NamedTuple):
    """One row: ``amount`` in thousandths of the base unit (None: there is none); ``facts`` by the keys of FACTS, in
    plain CBOR with decimals as tag 4 (``decimal``)."""

    node: str
    from_ms: int
    to_ms: int
    status: str
    amount: int | None
    facts: dict[str, Any]


def decimal(mantissa: int, exponent: int = MILLI) -> cbor2.CBORTag:
    """A quantity as rows bear it: tag 4 with its quantum's exponent, always (N5)."""
    return cbor2.CBORTag(_DECIMAL, [exponent, fitting(mantissa)])


def mantissa(quantity: cbor2.CBORTag) -> int:
    """The digits of a quantity of a row's facts, in units of its quantum."""
    return int(quantity.value[1])


def order(row: Row) -> tuple[str, int, int]:
    """By node, beginning, status (T1)."""
    return row.node, row.from_ms, RANK[row.status]


def row_bytes(row: Row) -> bytes:
    """The one encoding of a row."""
    node, from_ms, to_ms, status, amount, facts = row
    if amount is not None and len(facts) == 1 and "edges" in facts:  # most rows are so, and cbor2 is slow with tags
        times = head_bytes(0, from_ms) + head_bytes(0, to_ms)
        head = b"\x86" + _text(node) + times + _text(status) + _milli(amount)
        return head + _EDGES + _edges_bytes(facts["edges"])
    shown = {key: facts[key] for key in FACTS if key in facts}
    return cbor2.dumps([node, from_ms, to_ms, status, None if amount is None else decimal(amount), shown])


def _edges_bytes(edges: Sequence[Sequence[Any]]) -> bytes:
    """The encoding of the fact ``edges``: [point, register, register, looks] of each point."""
    parts = [head_bytes(_ARRAY, len(edges))]
    for point, start, end, looks in edges:
        parts += b"\x84", _text(point), _milli(start.value[1]), _milli(end.value[1]), head_bytes(_ARRAY, len(looks))
        for look in looks:
            parts.append(_LOOK if len(look) == 32 else head_bytes(_BYTES, len(look)))
            parts.append(look)
    return b"".join(parts)


def _milli(mantissa: int) -> bytes:
    """The encoding of ``decimal(mantissa)``."""
    fitting(mantissa)
    return _THOUSANDTHS + (head_bytes(0, mantissa) if mantissa >= 0 else head_bytes(1, -1 - mantissa))


@lru_cache(4096)
def _text(text: str) -> bytes:
    return cbor2.dumps(text)


def salt(secret: bytes, index: int) -> bytes:
    """The salt of the row with this place: 16 bytes of HMAC-SHA-256(secret, place as 8 bytes)."""
    return _salt(hmac.new(secret, digestmod="sha256"), index)


def _salt(keyed: hmac.HMAC, index: int) -> bytes:
    digest = keyed.copy()
    digest.update(index.to_bytes(8, "big"))
    return digest.digest()[:SALT_SIZE]


def salted_leaf(row_salt: bytes, row: bytes) -> bytes:
    """The leaf of a row whose salt is known."""
    return sha256(b"\x00" + row_salt + row).digest()


def leaves(secret: bytes, rows: Iterable[bytes]) -> Iterator[bytes]:
    """The leaves of rows in their order."""
    keyed = hmac.new(secret, digestmod="sha256")
    return (salted_leaf(_salt(keyed, index), row) for index, row in enumerate(rows))


def tree(secret: bytes, rows: Iterable[bytes]) -> Tree:
    """The tree over the rows of a statement, in their order."""
    return Tree(leaves(secret, rows))


class LeafProof(NamedTuple):
    """What shows one row of a statement: its salt, its bytes, and its path in the tree of ``size`` leaves."""

    salt: bytes
    row: bytes
    size: int
    place: int
    path: tuple[bytes, ...]


def leaf_proof(rows: Rows, index: int, grown: Tree | None = None) -> LeafProof:
    """The proof of a row under the statement's root; ``grown``: their tree, where it is there already. Raises
    IndexError outside of the rows."""
    path = tuple((grown or tree(rows.secret, rows.rows)).path(index))
    return LeafProof(salt(rows.secret, index), rows.rows[index], len(rows.rows), index, path)


def status_of(row: bytes) -> str:
    """The status that a row bears. Raises Malformed for bytes that are no row."""
    return parse_row(row).status


class Rows(NamedTuple):
    """An ``.mrows`` file: the secret that the salts are made of, and the rows in their order."""

    secret: bytes
    rows: Sequence[bytes]

    @property
    def root(self) -> bytes:
        """The root of the tree over its leaves."""
        return tree(self.secret, self.rows).root

    def encode(self) -> bytes:
        """The file."""
        return cbor.encode({"v": VERSION, "rows": list(self.rows), "secret": self.secret})

    @classmethod
    def parse(cls, data: bytes) -> Rows:
        """Read a file strictly, each row too. Raises Malformed."""
        fields = table(cbor.decode(data), "rows file", {"v", "rows", "secret"})
        rows = array(fields["rows"], "rows", 0)
        for row in rows:
            parse_row(row)
        return cls(blob(fields["secret"], "secret", SECRET_SIZE), tuple(rows))


def parse_row(data: object) -> Row:
    """Read a row strictly. Raises Malformed."""
    if type(data) is not bytes:
        raise Malformed("a row is no byte string")
    fields = array(cbor.decode(data), "row", 6, 6)
    node, from_ms, to_ms = name(fields[0], "node"), time_ms(fields[1], "from"), time_ms(fields[2], "to")
    if to_ms <= from_ms:
        raise Malformed(f"the row of {node} ends at {to_ms}, before it begins")
    if fields[3] not in RANK:
        raise Malformed(f"{fields[3]!r} is not a status of a row")
    amount = None
    if fields[4] is not None and (amount := mantissa_of(fields[4], MILLI)) is None:
        raise Malformed(f"the amount of {node} is not a decimal fraction of thousandths")
    facts = table(fields[5], "the row's facts", set(), set(FACTS))
    return Row(node, from_ms, to_ms, fields[3], amount, {key: _plain(value) for key, value in facts.items()})


def by_node(statements: Iterable[Iterable[bytes]]) -> dict[str, list[Row]]:
    """The rows of several statements by node, in order of time. Raises Malformed."""
    found: dict[str, list[Row]] = {}
    for row in (parse_row(row) for rows in statements for row in rows):
        found.setdefault(row.node, []).append(row)
    return {node: sorted(rows, key=lambda row: row.from_ms) for node, rows in found.items()}


def _plain(value: Any) -> Any:
    """Facts as rows bear them before they are written: decimals as tag 4."""
    if isinstance(value, Decimal):
        exponent, mantissa = cbor.decimal_parts(value)
        return decimal(mantissa, exponent)
    return [_plain(item) for item in value] if isinstance(value, list) else value
