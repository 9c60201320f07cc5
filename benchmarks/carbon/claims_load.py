"""Claims at an embedded ledger over HTTP, beside batch statements at the same one in the same run.

Each client is an issuer with a party that holds what it issues: a quarter of an hour is issued, a part of it goes to
the next client's party, the rest is retired. A client of statements is a gateway; so many of each, each with the same
number of entries, given one behind the other on a connection of its own. The two take turns in being first.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ledger_client.claims.claim import Deed, Retire, Transfer
from ledger_client.ledgers.http_registry import HttpRegistry
from tests.campaigns.ledgers.ledger_load import Load, enrolled, submit_all, submit_entries
from tests.support.certificates.claimed import UNITS, Party, enrol, issue
from tests.support.processes import EmbeddedLedger, embedded_ledger

NAME = "registry"
GIVEN = UNITS * 2 // 5
"""Units of each certificate that go to another party."""


def run(clients: int, claims: int, runs: int) -> dict[str, object]:
    """``claims_per_s`` and ``statements_per_s``, medians; ``claims_ratio``: the median of each run's own ratio."""
    loads: list[tuple[Load, Load]] = []
    with TemporaryDirectory() as name, embedded_ledger(Path(name) / "ledger", NAME) as ledger:
        for number in range(runs):
            gateways = enrolled(ledger, Path(name), clients, f"gw-{number}")
            entries = _entries(ledger, number, clients, claims)
            if number % 2:
                others = submit_all(ledger, gateways, claims)
                loads.append((submit_entries(ledger, entries), others))
            else:
                loads.append((submit_entries(ledger, entries), submit_all(ledger, gateways, claims)))
    for pair in loads:
        for load in pair:
            assert load.statuses == {201: clients * claims}, load.statuses
    both = [(_per_s(ours), _per_s(others)) for ours, others in loads]
    return {
        "claims_per_s": median(ours for ours, _ in both),
        "statements_per_s": median(others for _, others in both),
        "claims_ratio": median(ours / others for ours, others in both),
        "claims_p50_ms": median(ours.percentile_ms(50) for ours, _ in loads),
        "claims_p99_ms": median(ours.percentile_ms(99) for ours, _ in loads),
        "clients": clients,
        "claims": claims,
        "runs": runs,
    }


def _per_s(load: Load) -> float:
    return len(load.latencies_s) / load.seconds


def _entries(ledger: EmbeddedLedger, number: int, clients: int, claims: int) -> list[list[bytes]]:
    """What each client gives, signed beforehand; its parties are enrolled, and the ledger has read that."""
    issuers = [Party(f"issuer-{number}-{client}", "issuer", NAME) for client in range(clients)]
    holders = [Party(f"party-{number}-{client}", "party", NAME) for client in range(clients)]
    enrol(ledger.folder / "policy.toml", [*issuers, *holders])
    with closing(HttpRegistry(NAME, ledger.url)) as registry:
        assert registry.party(holders[-1].name) == (0, "party")
    return [
        claims_of(issuers[client], holders[client], holders[(client + 1) % clients].name, claims)
        for client in range(clients)
    ]


def claims_of(issuer: Party, holder: Party, other: str, claims: int) -> list[bytes]:
    """A number of ``claims`` of an issuer and its holder: issued, handed on in part to ``other``, the rest retired."""
    entries: list[bytes] = []
    for quarter in range(-(-claims // 3)):
        made = issue(holder.name, 1, quarter, f"device of {issuer.name}")
        cert = issuer.cert(made)
        moves: list[Deed] = [Transfer(cert, (0, GIVEN), other), Retire(cert, (GIVEN, UNITS), "own use", 0, 900_000)]
        entries += [issuer.sign(made), *map(holder.sign, moves)]
    return entries[:claims]
