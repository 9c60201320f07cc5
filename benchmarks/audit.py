"""Audit of an export, in one process, beside that of another commit: what the newer one's rules cost.

The export is made here by the shipped journal: three meters with ``VALUES`` values every 10 s, a batch every ten
minutes, a receipt a batch. Each run is a process of its own that audits the whole of it; the revisions take turns.
``median_s`` and ``before_median_s`` are seconds of the processor, so that what else the machine does counts little;
``ratio`` is the speed of this one in shares of that of ``before``. Both judge the same bytes: ``findings`` and
``before_findings`` must be 0, else it is not the same work that is compared.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from gateway.records import PollResult, Timestamp
from ledger_client.formats.senml import Reading, Value
from ledger_client.verification.trust_text import key_entry
from tests.support.audited import FAR_S, LEDGER, exported
from tests.support.clock_history import FrailStore
from tests.support.samples import Hands, Machine, site

SMALLEST: Sequence[dict[str, Any]] = ({"records": 400, "runs": 1, "before": "HEAD"},)
VALUES = 10
SEAL_MS = 600_000
ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, sys, time
from pathlib import Path
import ledger_client
from ledger_client.audit.run import audit
from ledger_client.verification.trust_file import parse_trust

assert Path(ledger_client.__file__).is_relative_to(Path.cwd()), "another commit's"
files, trusted = sorted(Path(sys.argv[1]).glob("*.mbatch")), parse_trust(Path(sys.argv[2]).read_text(), "trust.toml")
began = time.process_time()
result = audit(files, trusted, int(sys.argv[3]), processes=1)
took_s = time.process_time() - began
print(json.dumps([took_s, sum(result.kinds.values()), [f"{f.step}: {f.detail}" for f in result.findings]]))
"""


class Took(NamedTuple):
    """One run: seconds of the processor, the records that were gone through, and what was found."""

    seconds: float
    records: int
    findings: list[str]


def run(records: int = 100_000, runs: int = 9, before: str = "HEAD~1") -> dict[str, object]:
    """``records``: how many are audited; ``before``: the commit to compare with, whose `ledger_client` is taken out of
    git."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _check_out(before, folder / "before")
        files, trust = _export(folder, records)
        ours, theirs = list[Took](), list[Took]()
        for _ in range(runs):
            ours.append(_audited(ROOT, files, trust))
            theirs.append(_audited(folder / "before", files, trust))
    for took in (ours[0], theirs[0]):
        print(*took.findings[:5], sep="\n", file=sys.stderr, end="")
    median_s, before_median_s = (statistics.median(took.seconds for took in all_of) for all_of in (ours, theirs))
    return {
        "records": ours[0].records,
        "runs": runs,
        "before": before,
        "median_s": median_s,
        "before_median_s": before_median_s,
        "ratio": before_median_s / median_s,
        "findings": len(ours[0].findings),
        "before_findings": len(theirs[0].findings),
        "fastest_s": min(took.seconds for took in ours),
        "before_fastest_s": min(took.seconds for took in theirs),
    }


def _check_out(revision: str, folder: Path) -> None:
    """The `ledger_client` of that commit; what it imports beside is not ours."""
    command = ["git", "-C", str(ROOT), "archive", revision, "ledger_client"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"--before {revision}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _export(folder: Path, records: int) -> tuple[Path, Path]:
    """The batch files of a history with at least so many records, and the trust file."""
    loaded, machine = site(folder / "site"), Machine()
    hands = Hands(loaded, machine, store=lambda path: FrailStore(path, machine), seal_every_ms=SEAL_MS)
    meters, taken = [*hands.journal.rules.periods_ms], 0
    while taken < records:
        for meter in meters:
            now, due_ms = Timestamp.now(hands.clock), hands.anchor_ms + hands.polls * hands.EVERY_MS
            values = tuple(Value(f"value-{n}", hands.polls + n, "W") for n in range(VALUES))
            hands.journal.poll(PollResult(meter, due_ms, Reading(now.time_ms, values), now))
        hands.polls, taken = hands.polls + 1, taken + len(meters)
        machine.passes(hands.EVERY_MS / 1000)
        hands.journal.keep_time()
    hands.journal.cut()
    hands.end()
    trust = folder / "trust.toml"
    trust.write_text(loaded.trust.read_text() + key_entry("ledger", LEDGER.public, 0, ledger="demo-ledger"))
    exported(loaded.database, folder / "files")
    return folder / "files", trust


def _audited(sources: Path, files: Path, trust: Path) -> Took:
    command = [sys.executable, "-c", PROGRAM, str(files), str(trust), str(FAR_S)]
    environment = {**os.environ, "PYTHONPATH": str(sources)}
    done = subprocess.run(command, cwd=sources, env=environment, capture_output=True, text=True, check=True)
    return Took(*json.loads(done.stdout))
