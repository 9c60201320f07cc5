"""Replay of a ledger's log as an auditor does it: each claim parsed, its signature checked, the rules applied to it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.carbon.claims_load import claims_of
from ledger_client.certificates.replay import replay
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.service import Service
from tests.support.certificates.claimed import Party, enrol

NAME = "registry"
_TOGETHER = 250
"""Claims that share a transaction of the ledger."""


def run(claims: int) -> dict[str, object]:
    """``replay_claims_per_s`` of a log with so many claims, read from the disk; none of them is at fault."""
    issuer, holder, other = Party("issuer", "issuer", NAME), Party("a", "party", NAME), Party("b", "party", NAME)
    with TemporaryDirectory() as name, closing(open_dir(Path(name), NAME)) as folder:
        enrol(folder.policy, (issuer, holder, other))
        service = Service(folder, CommittedPolicy.begun(folder))
        entries = claims_of(issuer, holder, other.name, claims)
        for first in range(0, claims, _TOGETHER):
            for outcome in service.submit_all(entries[first : first + _TOGETHER]):
                outcome.result()
        began = time.perf_counter()
        with folder.log.read() as log:
            made = replay(NAME, log.entries(0, log.size()))
        took = time.perf_counter() - began
    assert made.faults == []
    assert len(made.claims) == claims
    return {"replay_claims_per_s": claims / took, "replay_claims": claims}
