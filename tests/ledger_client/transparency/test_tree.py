"""The stored tree against the tree in memory: every root and every path of every size."""

from __future__ import annotations

from hashlib import sha256

import pytest

from ledger_client.formats.merkle import Tree, leaf_hash, root_from_path
from ledger_client.transparency.log import tree

LEAVES = [leaf_hash(sha256(bytes([number])).digest()) for number in range(130)]


class Nodes:
    """Stored nodes that count how often they are read, and refuse to be written twice."""

    def __init__(self) -> None:
        self.hashes: dict[tuple[int, int], bytes] = {}
        self.reads = 0
        self.grown: list[tree.Grown] = []

    def read(self, level: int, number: int) -> bytes:
        self.reads += 1
        return self.hashes[level, number]

    def append(self, leaf: bytes) -> None:
        index = sum(1 for level, _ in self.hashes if level == 0)
        made = tree.grown(index, tree.edge_of(index, self.read), leaf)
        for node, value in made.nodes:
            assert node not in self.hashes
            self.hashes[node] = value
        self.grown.append(made)


@pytest.fixture(scope="module")
def nodes() -> Nodes:
    nodes = Nodes()
    for leaf in LEAVES:
        nodes.append(leaf)
    return nodes


def test_every_root_and_path_is_that_of_the_whole_tree(nodes: Nodes) -> None:
    for size in range(1, len(LEAVES) + 1):
        whole = Tree(LEAVES[:size])
        assert tree.root(size, nodes.read) == whole.root
        made = nodes.grown[size - 1]
        assert (made.root, made.path) == (whole.root, tuple(whole.path(size - 1)))
        assert made.edge == tree.edge_of(size, nodes.read)
        assert tree.root_of(made.edge) == whole.root
        for index in range(size):
            path = tree.path(index, size, nodes.read)
            assert path == tuple(whole.path(index))
            assert root_from_path(LEAVES[index], size, index, path) == whole.root


def test_a_path_reads_and_an_append_hashes_only_logarithmically_many_nodes() -> None:
    nodes = Nodes()
    nodes.hashes = {}
    for size, leaf in enumerate(LEAVES[:128], start=1):
        nodes.reads = 0
        nodes.append(leaf)
        assert nodes.reads <= size.bit_length()
    for index in range(127):
        nodes.reads = 0
        tree.path(index, 127, nodes.read)
        assert nodes.reads <= 2 * 7
