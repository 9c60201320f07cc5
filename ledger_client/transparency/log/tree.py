"""Merkle tree of the log (RFC 9162 §2.1) over the stored hashes of complete subtrees. Pure.

Only complete subtrees are stored, each under (level, number): node (l, i) covers the leaves i·2^l … (i+1)·2^l − 1, and
no later leaf can change it. Every root and every path of every size is put together from at most 2·log2(size) of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from ledger_client.formats.merkle import node_hash

Node = tuple[int, int]
Read = Callable[[int, int], bytes]
Edge = tuple[bytes, ...]
"""The hashes of the largest complete subtrees of a tree, the largest first: all that its next leaf needs of it."""


class Grown(NamedTuple):
    """A tree with one leaf more: the nodes to store, the new edge, and path and root of the leaf."""

    nodes: list[tuple[Node, bytes]]
    edge: Edge
    path: tuple[bytes, ...]
    root: bytes


def grown(index: int, edge: Edge, leaf: bytes) -> Grown:
    """Add leaf ``index`` to the tree of so many leaves with this edge."""
    path = edge[::-1]  # all that stands left of the last leaf is complete
    level, number, value = 0, index, leaf
    nodes = [((level, number), value)]
    while number % 2 == 1:
        value = node_hash(path[level], value)
        level, number = level + 1, number // 2
        nodes.append(((level, number), value))
    left = edge[: len(edge) - level]
    return Grown(nodes, (*left, value), path, root_of((*left, value)))


def root_of(edge: Sequence[bytes]) -> bytes:
    """The root of the tree with this edge; of none RFC 9162's for an empty tree."""
    if not edge:
        return sha256().digest()
    value = edge[-1]
    for left in edge[-2::-1]:
        value = node_hash(left, value)
    return value


def edge_of(size: int, read: Read) -> Edge:
    """The edge of the tree of the first ``size`` leaves."""
    levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
    return tuple(read(level, (size >> level) - 1) for level in levels)


def _root(first: int, size: int, read: Read) -> bytes:
    """The hash over ``size`` > 0 leaves from ``first`` on; ``first`` is a multiple of the next power of two."""
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read(level, first >> level)
    left = 1 << (size - 1).bit_length() - 1  # the largest power of two below size
    return node_hash(_root(first, left, read), _root(first + left, size - left, read))


def root(size: int, read: Read) -> bytes:
    """The root of the first ``size`` > 0 leaves."""
    return _root(0, size, read)


def path(index: int, size: int, read: Read) -> tuple[bytes, ...]:
    """The audit path of leaf ``index`` in the tree of the first ``size`` leaves, from the leaf upwards."""
    hashes: list[bytes] = []
    first = 0
    while size > 1:
        left = 1 << (size - 1).bit_length() - 1
        if index < left:
            hashes.append(_root(first + left, size - left, read))
            size = left
        else:
            hashes.append(_root(first, left, read))
            first, index, size = first + left, index - left, size - left
    return tuple(reversed(hashes))


def consistency(first: int, size: int, read: Read) -> tuple[bytes, ...]:
    """The path that shows the tree of ``size`` leaves to begin with that of ``first`` (RFC 9162 §2.1.4.1).

    0 < first < size.
    """
    hashes: list[bytes] = []
    begin, whole = 0, True  # whole: the leaves looked at begin with leaf 0, and the verifier knows the older root
    while first != size:
        left = 1 << (size - 1).bit_length() - 1
        if first <= left:
            hashes.append(_root(begin + left, size - left, read))
            size = left
        else:
            hashes.append(_root(begin, left, read))
            begin, first, size, whole = begin + left, first - left, size - left, False
    if not whole:
        hashes.append(_root(begin, size, read))
    return tuple(reversed(hashes))
