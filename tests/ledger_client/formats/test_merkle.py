"""Trees: every place of every size, against the recursion of the RFC, and paths that must not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import NotIncluded
from ledger_client.formats.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash, root_from_path
from tests.support.evidence_values import THOROUGH

LEAVES = [leaf_hash(bytes([n])) for n in range(70)]


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, as it stands there."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(recursive_root(leaves[:k]), recursive_root(leaves[k:]))


def recursive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162 §2.1.3.1, as it stands there."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*recursive_path(index, leaves[:k]), recursive_root(leaves[k:])]
    return [*recursive_path(index - k, leaves[k:]), recursive_root(leaves[:k])]


@pytest.mark.parametrize("size", range(1, 71))
def test_root_and_paths_are_those_of_the_rfc(size: int) -> None:
    leaves = LEAVES[:size]
    tree = Tree(leaves)
    assert tree.root == recursive_root(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.path(index)
        assert path == recursive_path(index, leaves)
        assert root_from_path(leaf, size, index, path) == tree.root


@pytest.mark.parametrize("size", range(1, 21))
def test_a_path_leads_to_the_root_from_its_own_place_only(size: int) -> None:
    tree = Tree(LEAVES[:size])
    for index in range(size):
        path = tree.path(index)
        for other in range(size):
            if other == index:
                continue
            try:
                root = root_from_path(LEAVES[index], size, other, path)
            except NotIncluded:
                continue
            assert root != tree.root


@pytest.mark.parametrize("size", range(1, 34))
def test_paths_too_long_or_too_short_do_not_fit(size: int) -> None:
    tree = Tree(LEAVES[:size])
    for index in range(size):
        path = tree.path(index)
        with pytest.raises(NotIncluded, match="too long"):
            root_from_path(LEAVES[index], size, index, [*path, bytes(32)])
        if path:
            with pytest.raises(NotIncluded, match="too short"):
                root_from_path(LEAVES[index], size, index, path[:-1])


def test_no_odd_leaf_is_doubled() -> None:
    assert Tree(LEAVES[:3]).root != Tree([*LEAVES[:3], LEAVES[2]]).root


def test_places_outside_of_the_tree() -> None:
    assert Tree([]).root == EMPTY_ROOT
    for index in (-1, 3):
        with pytest.raises(IndexError):
            Tree(LEAVES[:3]).path(index)
        with pytest.raises(NotIncluded):
            root_from_path(LEAVES[0], 3, index, [])
    with pytest.raises(NotIncluded):
        root_from_path(LEAVES[0], 0, 0, [])


@THOROUGH
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.lists(st.just(bytes(32)), max_size=64))
def test_any_place_and_path_end(size: int, index: int, path: list[bytes]) -> None:
    try:
        assert len(root_from_path(bytes(32), size, index, path)) == 32
    except NotIncluded:
        return
