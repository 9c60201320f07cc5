"""One digest of what random histories come to, by both implementations: ``python -m tests.oracle.digest``."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from tests.oracle.comparison import compare
from tests.oracle.histories import history, stack


def digest() -> str:
    """Payloads, rows and roots of the product and of the oracle."""
    made = sha256()
    for example in [*(history(Random(seed)) for seed in range(25)), *(stack(Random(seed)) for seed in range(4))]:
        found = compare(example)
        for payload, rows, root in (found[:3], (found.oracle.payload, found.oracle.rows, found.oracle.root)):
            made.update(payload + b"".join(rows) + root)
    return made.hexdigest()


if __name__ == "__main__":
    print(digest())
