"""Claims: what they cost on an embedded ledger and on a chain, how fast they are replayed, and whether all agree.

- ``claims_per_s``, ``statements_per_s``: of ``clients`` at one embedded ledger over HTTP in the same run, medians of
  ``runs``; ``claims_ratio`` of the two (target: at least 0.8).
- ``gas_…``: on anvil with London's prices. Targets: an hour issued 35,000 when 24 go in one call; a transfer of a
  whole slice 45,000, of an end of it 70,000, of its middle 95,000; a slice retired 50,000.
- ``replay_claims_per_s``: of an auditor who replays a ledger's log.
- ``balance_s``: the balances of a year of so many ``parties``, each with a load of every hour and 5,000 certificates
  (50: at most 30 s); ``page_bytes``: the larger page of one, in two languages (at most 3 MB).
- ``kills_…``: SIGKILL of the ledger while it takes a claim; ``kills_violations`` must be empty (parts/claims_kills.py).
- ``agree_…``: random operations, after each of which the embedded ledger, the contract and a model of single units have
  the same state, and gave the same refusal; a replay of the contract's events and one of the ledger's log give it too.
  ``agree_doubles``: quarters of an hour with two certificates (target: 0). 100,000 take half an hour: --only agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from benchmarks.carbon import claim_gas, claims_agree, claims_balance, claims_kills, claims_load, claims_replay
from tests.ledger_client.evm.chain import chain

SMALLEST: tuple[dict[str, Any], ...] = (
    {"clients": 2, "claims": 6, "runs": 1, "replayed": 30, "parties": 1, "operations": 60, "kills": 10},
)


def run(
    only: Literal["all", "ledger", "gas", "replay", "balance", "kills", "agree"] = "all",
    clients: int = 20,
    claims: int = 100,
    runs: int = 5,
    replayed: int = 9_000,
    parties: int = 50,
    kills: int = 100,
    operations: int = 2_000,
    seed: int = 15,
) -> dict[str, object]:
    """``only``: one of its parts; ``claims`` of each client, ``replayed`` ones in the log."""
    parts: Mapping[str, Callable[[], dict[str, object]]] = {
        "ledger": lambda: claims_load.run(clients, claims, runs),
        "gas": _gas,
        "replay": lambda: claims_replay.run(replayed),
        "balance": lambda: claims_balance.run(parties),
        "kills": lambda: claims_kills.run(kills, seed),
        "agree": lambda: claims_agree.run(operations, seed),
    }
    figures: dict[str, object] = {}
    for name, part in parts.items():
        figures |= part() if only in ("all", name) else {}
    return figures


def _gas() -> dict[str, object]:
    with TemporaryDirectory() as name, chain(Path(name), "--hardfork", "london") as (_, node):
        return {**claim_gas.measure(node)}
