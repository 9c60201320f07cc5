"""Merkle trees of RFC 9162 §2.1 (as RFC 6962): SHA-256, prefixes 0x00 and 0x01, no doubled odd leaf. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from ledger_client.errors import Inconsistent, NotIncluded
from ledger_client.messages import Message

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A whole tree in memory: about 64 bytes a leaf, and every path without hashing again."""

    __slots__ = ("_levels", "size")

    def __init__(self, leaf_hashes: Iterable[bytes]) -> None:
        level = list(leaf_hashes)
        self.size = len(level)
        self._levels = [level]
        sha256 = hashlib.sha256
        while len(level) > 1:
            # an odd last node moves up as it is: the same tree as the recursive split at a power of two
            above = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
            if len(level) % 2:
                above.append(level[-1])
            level = above
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        """The tree head; of no leaves the hash of nothing."""
        return self._levels[-1][0] if self.size else EMPTY_ROOT

    def path(self, index: int) -> list[bytes]:
        """The inclusion path of a leaf, from the leaf to the root; ``IndexError`` outside of the tree."""
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} of {self.size}")
        path = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index >>= 1
        return path


def root_from_path(leaf: bytes, size: int, index: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf hash and its path lead to (RFC 9162 §2.1.3.2); ``NotIncluded`` if the path does not fit."""
    if not 0 <= index < size:
        raise NotIncluded(Message("path-no-leaf", leaf=index, size=size))
    node, last, sha256 = index, size - 1, hashlib.sha256
    result = leaf
    for sibling in path:
        if last == 0:
            raise NotIncluded(Message("path-too-long", n=len(path), leaf=index, size=size))
        if node & 1 or node == last:
            result = sha256(b"\x01" + sibling + result).digest()
            while not node & 1 and node:  # the levels at which this node was the odd one and moved up
                node, last = node >> 1, last >> 1
        else:
            result = sha256(b"\x01" + result + sibling).digest()
        node, last = node >> 1, last >> 1
    if last:
        raise NotIncluded(Message("path-too-short", n=len(path), leaf=index, size=size))
    return result


def root_from_consistency(first: int, second: int, first_root: bytes, path: Sequence[bytes]) -> bytes:
    """The root of the tree of ``second`` leaves that begins with the tree of ``first`` leaves and ``first_root``.

    RFC 9162 §2.1.4.2, for 0 < first < second; ``Inconsistent`` if the path does not fit or begins with another tree.
    """
    if not 0 < first < second:
        raise Inconsistent(f"no path leads from a tree of {first} to one of {second}")
    hashes = list(path)
    if first & (first - 1) == 0:  # a complete subtree of the newer tree: its own root is where the path begins
        hashes.insert(0, first_root)
    if not hashes:
        raise Inconsistent("the path is empty")
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    older = newer = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise Inconsistent(f"the path of {len(path)} hashes is too long from {first} to {second}")
        if node & 1 or node == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise Inconsistent(f"the path of {len(path)} hashes is too short from {first} to {second}")
    if older != first_root:
        raise Inconsistent(f"the tree of {second} does not begin with this tree of {first}")
    return newer
