"""A tree of 100,000 leaves and all of its proofs (target: at most 1.0 s)."""

from __future__ import annotations

import gc
import json
import statistics
import time

from ledger_client.formats.merkle import Tree, leaf_hash, root_from_path

RECORD_BYTES = 300
SMALLEST = ({"leaves": 1000, "runs": 1},)


def run(leaves: int = 100_000, runs: int = 3) -> dict[str, object]:
    """Medians of ``runs``: the leaf hashes, the tree over them, then the path of every leaf."""
    records = [index.to_bytes(8, "big") * (RECORD_BYTES // 8) for index in range(leaves)]
    times = [_once(records) for _ in range(runs)]
    tree, proofs = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "leaves": leaves,
        "seconds": statistics.median(map(sum, times)),
        "tree_seconds": tree,
        "proofs_seconds": proofs,
        "record_bytes": RECORD_BYTES,
        "runs": runs,
    }


def _once(records: list[bytes]) -> tuple[float, float]:
    """(seconds for hashing and building, seconds for all paths); all paths are kept, and some are checked."""
    gc.collect()
    started = time.perf_counter()
    tree = Tree(map(leaf_hash, records))
    built = time.perf_counter()
    paths = [tree.path(index) for index in range(tree.size)]
    done = time.perf_counter()
    for index in range(0, tree.size, 997):
        assert root_from_path(leaf_hash(records[index]), tree.size, index, paths[index]) == tree.root
    return built - started, done - built


def main() -> None:
    print(json.dumps(run()))


if __name__ == "__main__":
    main()
