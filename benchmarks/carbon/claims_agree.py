"""Random claims to every registry and to a model of single units: whether they agree after each (tests: claim_walk)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.ledger_client.evm.chain import chain
from tests.ledger_client.evm.claim_desk import doubles
from tests.ledger_client.evm.claim_walk import DONE, walk

_ACCOUNTS = 1_000


def run(operations: int, seed: int) -> dict[str, object]:
    """An assertion fails where contract, ledger and model differ, or a replay of events or log gives another state."""
    with (
        TemporaryDirectory() as name,
        chain(Path(name), "--hardfork", "london", "--accounts", str(_ACCOUNTS), "--prune-history") as (_, node),
    ):
        done = walk(node, Path(name) / "ledger", seed, operations)
    taken = sum(count for (_, why), count in done.seen.items() if why == DONE)
    return {
        "agree_operations": done.seen.total(),
        "agree_taken": taken,
        "agree_refused": done.seen.total() - taken,
        "agree_certificates": len(done.state.certificates),
        "agree_units": len(done.model.units),
        "agree_doubles": doubles(done.state),
        "agree_seed": seed,
    }
