"""Merkle tree of the log (RFC 9162 §2.1) over the stored hashes of complete subtrees. Pure.

Only complete subtrees are stored, each under (level, number): node (l, i) covers the leaves i·2^l … (i+1)·2^l − 1, and
no later leaf can change it. Every root and every path of every size is put together from at most 2·log2(size) of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ledger_client.formats.merkle import node_hash

Node = tuple[int, int]
Read = Callable[[int, int], bytes]


def completed(index: int, leaf: bytes, read: Read) -> Iterator[tuple[Node, bytes]]:
    """The nodes to store when leaf ``index`` arrives: the leaf itself and every subtree that it completes."""
    level, number, value = 0, index, leaf
    yield (level, number), value
    while number % 2 == 1:
        value = node_hash(read(level, number - 1), value)
        level, number = level + 1, number // 2
        yield (level, number), value


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
