"""Consistency: paths against the recursion of the RFC and published ones, receipts of ours and of others."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import BadReceipt, EncodeError, Inconsistent, Malformed, UnsupportedLog
from ledger_client.formats import cbor, cose
from ledger_client.formats.consistency import check_consistency, parse_consistency, sign_consistency
from ledger_client.formats.merkle import Tree, leaf_hash, root_from_consistency
from ledger_client.formats.receipt import parse_receipt
from ledger_client.transparency.log import tree as stored
from tests.ledger_client.formats.test_merkle import LEAVES, recursive_root
from tests.ledger_client.formats.test_standards import CT_LEAVES, CT_ROOTS
from tests.support.evidence import LEDGER, T0, key
from tests.support.evidence_values import THOROUGH

SIGNER = key(LEDGER)
SIZES = [(first, second) for second in range(2, 41) for first in range(1, second)]


def recursive_consistency(first: int, leaves: list[bytes], known: bool = True) -> list[bytes]:
    """RFC 9162 §2.1.4.1, SUBPROOF as it stands there."""
    if first == len(leaves):
        return [] if known else [recursive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if first <= k:
        return [*recursive_consistency(first, leaves[:k], known), recursive_root(leaves[k:])]
    return [*recursive_consistency(first - k, leaves[k:], False), recursive_root(leaves[:k])]


def root(size: int) -> bytes:
    return Tree(LEAVES[:size]).root


def path(first: int, second: int) -> list[bytes]:
    return recursive_consistency(first, LEAVES[:second])


def test_every_path_leads_from_the_older_root_to_the_newer() -> None:
    for first, second in SIZES:
        assert root_from_consistency(first, second, root(first), path(first, second)) == root(second)


def test_the_stored_tree_gives_the_paths_of_the_rfc() -> None:
    nodes: dict[tuple[int, int], bytes] = {}

    def read(level: int, number: int) -> bytes:
        return nodes[level, number]

    for index, leaf in enumerate(LEAVES[:40]):
        nodes.update(dict(stored.grown(index, stored.edge_of(index, read), leaf).nodes))
    for first, second in SIZES:
        assert list(stored.consistency(first, second, read)) == path(first, second)


def test_another_older_tree_is_never_continued() -> None:
    for first, second in SIZES:
        for wrong in (bytes(32), root(first + 1), root(second)):
            if wrong == root(first):
                continue
            try:
                newer = root_from_consistency(first, second, wrong, path(first, second))
            except Inconsistent:
                continue
            assert newer != root(second)  # where the older root is the path's own beginning, nothing fits any more


def test_a_path_fits_its_own_sizes_only() -> None:
    for first, second in SIZES:
        hashes = path(first, second)
        for changed in ([*hashes, bytes(32)], hashes[:-1], hashes[::-1], [bytes(32), *hashes]):
            if changed == hashes:
                continue
            try:
                newer = root_from_consistency(first, second, root(first), changed)
            except Inconsistent:
                continue
            assert newer != root(second)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 0), (1, 1), (7, 7), (3, 2), (-1, 3)])
def test_no_path_leads_from_nothing_from_itself_or_back(first: int, second: int) -> None:
    for hashes in ([], [bytes(32)]):
        with pytest.raises(Inconsistent):
            root_from_consistency(first, second, bytes(32), hashes)


@THOROUGH
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.lists(st.just(bytes(32)), max_size=66))
def test_any_sizes_and_path_end(first: int, second: int, hashes: list[bytes]) -> None:
    try:
        assert len(root_from_consistency(first, second, bytes(32), hashes)) == 32
    except Inconsistent:
        return


# github.com/transparency-dev/merkle at 417fb0c31475, testdata/consistency/*/happy-path.json: (sizes, path)
PUBLISHED = [
    (
        (1, 8),
        [
            "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
        ],
    ),
    (
        (6, 8),
        [
            "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
            "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
    ((2, 5), ["Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms="]),
    (
        (6, 7),
        [
            "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
            "sIaT7C5yFZcTBkHoIR5+7cy0wmQTlj7ubB4u0W/7Gl8=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
]


@pytest.mark.parametrize(("sizes", "published"), PUBLISHED)
def test_rfc_6962_reference_paths(sizes: tuple[int, int], published: list[str]) -> None:
    first, second = sizes
    hashes = [base64.b64decode(part) for part in published]
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in CT_LEAVES]
    assert recursive_consistency(first, leaves[:second]) == hashes
    assert root_from_consistency(first, second, bytes.fromhex(CT_ROOTS[first]), hashes).hex() == CT_ROOTS[second]


# github.com/cose-wg/draft-ietf-cose-merkle-tree-proofs (RFC 9942) at e08aa7beab9d, examples/consistency-receipt.cbor
CONSISTENCY_RECEIPT = bytes.fromhex(
    "d2845840a40126044a746573742d6b65792d3119018b010fa101782868747470733a2f2f7472616e73706172656e63792d736572766963652e"
    "6578616d706c652e636f6da119018ca12181588c8303058458203d06455dd33da4e9bbd8090677a2d0955e6dffe4b92069605a468920d11980"
    "955820987ba8093cabe31046a77bbe9aa4b5f62675d943386c7fbbe249cbaca5da242d582033a5211719e06238a191c7244a7633187da2c9aa"
    "a5bc6dec54e2cbb49825543458204d75742d9ea02f7767dcd554a7878ff22cdb208be9f3d35f7aa7700b57e741c0f65840a1373d8ba837eedb"
    "7680692e7bda76569acd2f92259ad482c7076f201c8657910f5623b1ecaa40d845a5d1a49f3f5bd8927096384cfccea52933f448523fe685"
)


def test_rfc_9942_consistency_receipt() -> None:
    receipt = parse_consistency(CONSISTENCY_RECEIPT)
    assert (receipt.first, receipt.second, len(receipt.path)) == (3, 5, 4)
    assert (receipt.envelope.ledger, receipt.envelope.kid) == (
        "https://transparency-service.example.com",
        b"test-key-1",
    )
    with pytest.raises(Inconsistent):
        check_consistency(receipt, bytes(32), SIGNER.public)


def ours(first: int = 3, second: int = 7) -> bytes:
    return sign_consistency(LEDGER, T0, first, second, path(first, second), root(second), SIGNER)


@THOROUGH
@given(st.sampled_from(SIZES))
def test_every_consistency_receipt_checks(sizes: tuple[int, int]) -> None:
    first, second = sizes
    receipt = parse_consistency(ours(first, second))
    assert (receipt.first, receipt.second, list(receipt.path)) == (first, second, path(first, second))
    assert (receipt.envelope.ledger, receipt.envelope.iat, receipt.envelope.size_claim) == (LEDGER, T0, second)
    assert check_consistency(receipt, root(first), SIGNER.public) == root(second)
    with pytest.raises((Inconsistent, BadReceipt)):
        check_consistency(receipt, bytes(32), SIGNER.public)


@pytest.mark.parametrize(
    ("first", "second", "hashes"),
    [(0, 4, [bytes(32)]), (4, 4, [bytes(32)]), (5, 4, [bytes(32)]), (3, 4, []), (3, 4, [bytes(31)])],
)
def test_what_is_never_signed(first: int, second: int, hashes: list[bytes]) -> None:
    with pytest.raises(EncodeError):
        sign_consistency(LEDGER, T0, first, second, hashes, bytes(32), SIGNER)


def resign(change: Callable[[dict[Any, Any], dict[Any, Any]], object], payload: bytes | None = None) -> bytes:
    """The receipt from 3 to 7 with its headers changed before the ledger signed the true root."""
    sign1 = cose.Sign1.parse(ours(), foreign=True)
    header, unprotected = cbor.decode(sign1.protected_bytes, foreign=True), dict(sign1.unprotected)
    change(header, unprotected)
    protected = cbor2.dumps(header, canonical=True)
    signature = SIGNER.sign(cose.sig_structure(protected, payload or root(7)))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected, payload, signature]), canonical=True)


def proof(*parts: object) -> Callable[[dict[Any, Any], dict[Any, Any]], object]:
    return lambda _header, unprotected: unprotected.update({396: {-2: [cbor2.dumps(list(parts))]}})


def foreign(change: object = None) -> Callable[[dict[Any, Any], dict[Any, Any]], object]:
    return lambda header, _unprotected: header[15].pop("size")


@pytest.mark.parametrize(
    "data",
    [
        resign(proof(0, 7, path(3, 7))),
        resign(proof(7, 7, path(3, 7))),
        resign(proof(8, 7, path(3, 7))),
        resign(proof(3, 7, [])),
        resign(proof(3, 7)),
        resign(proof(3, 7, [bytes(31)])),
        resign(proof(3, 7, [bytes(32)] * 65)),
        resign(proof("3", 7, path(3, 7))),
        resign(lambda _h, u: u.update({396: {-1: [b""]}})),
        resign(lambda _h, u: u.update({396: {-2: []}})),
        resign(lambda _h, _u: None, root(7)),
        resign(foreign(), b"short"),
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_consistency(data)


def test_a_receipt_of_one_kind_is_none_of_the_other() -> None:
    with pytest.raises(Malformed):
        parse_receipt(ours())


def test_another_structure_is_not_supported() -> None:
    receipt = parse_consistency(resign(lambda header, _u: header.update({395: 2})))
    with pytest.raises(UnsupportedLog, match="structure 2"):
        check_consistency(receipt, root(3), SIGNER.public)


@pytest.mark.parametrize(
    ("data", "error", "problem"),
    [
        (resign(proof(3, 7, path(3, 7)[::-1])), Inconsistent, "does not begin with"),
        (resign(proof(3, 8, path(3, 8))), BadReceipt, "the ledger signed 7"),
        (resign(lambda header, _u: header[15].update({"size": 8})), BadReceipt, "the ledger signed 8"),
        (resign(lambda header, _u: header.update({1: -7})), BadReceipt, "does not match the type of the key"),
        (resign(foreign(), root(6)), Inconsistent, "another root"),
    ],
)
def test_what_does_not_hold(data: bytes, error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=problem) as caught:
        check_consistency(parse_consistency(data), root(3), SIGNER.public)
    assert caught.value.step == 6  # type: ignore[attr-defined]


def test_another_key_did_not_sign_it() -> None:
    with pytest.raises(BadReceipt, match="does not match key"):
        check_consistency(parse_consistency(ours()), root(3), key("other-ledger").public)


@pytest.mark.parametrize("payload", [None, root(7)])
def test_a_foreign_one_may_attach_its_root(payload: bytes | None) -> None:
    receipt = parse_consistency(resign(foreign(), payload))
    assert receipt.envelope.size_claim is None
    assert check_consistency(receipt, root(3), SIGNER.public) == root(7)
