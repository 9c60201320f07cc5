"""The short ways through usual bundles, statements and receipts: what they read is what the strict readers read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from ledger_client.errors import Malformed
from ledger_client.formats.bundle import Bundle, usual_bundle
from ledger_client.formats.receipt import parse_strictly, usual_receipt
from ledger_client.formats.statement import read_strictly, usual_statement
from tests.corpus.cases import cases
from tests.support.evidence import Site

BUNDLE = Site().build()
ENTRY = Site().entry()
RECEIPT = Bundle.parse_strictly(BUNDLE).receipts[0]
WAYS: dict[str, tuple[Callable[[bytes], Any], Callable[[bytes], Any], bytes]] = {
    "bundle": (usual_bundle, Bundle.parse_strictly, BUNDLE),
    "statement": (usual_statement, read_strictly, ENTRY),
    "receipt": (usual_receipt, parse_strictly, RECEIPT),
}


def agree(usual: Callable[[bytes], Any], strict: Callable[[bytes], Any], data: bytes) -> bool:
    """Whether the short way took these bytes; then the strict one takes them too, and for the same."""
    found = None
    with suppress(Exception):
        found = usual(data)
    if found is None:
        return False
    read = strict(data)  # raises Malformed where only the short way takes them
    assert (found, repr(found)) == (read, repr(read))
    return True


@pytest.mark.parametrize("what", WAYS)
def test_a_usual_one_takes_the_short_way(what: str) -> None:
    assert agree(*WAYS[what])


@pytest.mark.parametrize("what", WAYS)
def test_what_is_changed_by_a_byte_is_read_strictly_or_alike(what: str) -> None:
    usual, strict, data = WAYS[what]
    taken = sum(agree(usual, strict, changed) for changed in mutants(data))
    assert 0 < taken < len(data) * 3  # other numbers and hashes are as usual; another frame is not


def mutants(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        for bits in (0x01, 0x20, 0xFF):
            yield data[:at] + bytes((data[at] ^ bits,)) + data[at + 1 :]
        yield data[:at] + data[at + 1 :]
        yield data[:at] + b"\x00" + data[at:]


def test_every_bundle_of_the_corpus_is_read_alike() -> None:
    files = {case.file.read_bytes() for case in cases()}
    assert sum(agree(usual_bundle, Bundle.parse_strictly, data) for data in files) > 100
    for data in files:
        parts = None
        with suppress(Malformed):
            parts = Bundle.parse_strictly(data)
        if parts is not None:
            agree(usual_statement, read_strictly, parts.statement)
            for receipt in parts.receipts:
                agree(usual_receipt, parse_strictly, receipt)
