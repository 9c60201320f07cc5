"""Bytes of rows: what is written by hand is what cbor2 writes; the tree has the leaf of each row by itself."""

from __future__ import annotations

import hmac
from random import Random

import cbor2
import pytest

from ledger_client.accounting.formats.numbers import MOST
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row, decimal, parse_row, row_bytes, salt, salted_leaf, tree
from ledger_client.accounting.formats.words import STATUSES
from ledger_client.formats.cbor import head_bytes
from ledger_client.formats.merkle import Tree

SIZES = (0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, MOST)
COUNTS = (0, 1, 2, 4, 23, 24, 30)


def random_row(chance: Random) -> Row:
    """One of a node of counters, with numbers of every length."""

    def number() -> int:
        return chance.choice((1, -1)) * chance.choice(SIZES)

    def text(most: int) -> str:
        return "n" * chance.choice((1, 23, 24, most))

    edges = [
        [text(60), decimal(number()), decimal(number()), [chance.randbytes(32) for _ in range(chance.choice(COUNTS))]]
        for _ in range(chance.choice(COUNTS))
    ]
    from_ms = chance.choice(SIZES[:-1])
    return Row(text(64), from_ms, from_ms + 1, chance.choice(STATUSES), number(), {"edges": edges})


@pytest.mark.parametrize("seed", range(200))
def test_a_row_is_written_as_cbor2_writes_it(seed: int) -> None:
    row = random_row(Random(seed))
    assert row.amount is not None
    written = row_bytes(row)
    assert written == cbor2.dumps([*row[:4], decimal(row.amount), row.facts])
    assert row_bytes(parse_row(written)) == written


@pytest.mark.parametrize("size", SIZES)
def test_a_head_is_the_shortest(size: int) -> None:
    assert head_bytes(0, size) == cbor2.dumps(size)
    assert head_bytes(1, size) == cbor2.dumps(-1 - size)


@pytest.mark.parametrize("facts", [{"edges": []}, {"edges": [], "retrospective": True}])
def test_an_amount_of_more_than_64_bits_is_refused(facts: dict[str, object]) -> None:
    for amount in (2**63, -(2**63)):
        with pytest.raises(AccountingError, match="N5"):
            row_bytes(Row("station", 0, 1, "measured", amount, facts))


def test_the_tree_has_the_leaf_of_each_row() -> None:
    secret, rows = bytes(range(32)), [bytes([n]) * n for n in range(9)]
    assert salt(secret, 300) == hmac.digest(secret, (300).to_bytes(8, "big"), "sha256")[:16]
    assert tree(secret, rows).root == Tree(salted_leaf(salt(secret, n), row) for n, row in enumerate(rows)).root
