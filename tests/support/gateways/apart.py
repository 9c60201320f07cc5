"""Our commands as processes of their own; and what an audit finds in the exports of an ended gateway."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from gateway.config.model import Config
from tests.support.commands import Answer, evidence_files


def apart(module: str, *arguments: object) -> Answer:
    """One of our commands, run to its end as a process; several may run at a time."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True)
    return Answer(done.returncode, done.stdout, done.stderr)


def export_to(loaded: Config, folder: Path) -> None:
    """Export what a gateway's database holds with receipts, beside what the folder has already."""
    exported = apart("gateway.cli", "export", loaded.path, "-o", folder)
    assert exported.code == 0, exported


def audit_findings(loaded: Config, *options: object, folder: Path | None = None) -> int:
    """Findings of an audit in an ended gateway's exports; printed to stderr. ``folder``: with earlier exports."""
    with tempfile.TemporaryDirectory() as name:
        folder = folder or Path(name) / "exports"
        export_to(loaded, folder)
        answer = apart(
            "ledger_client.cli", "audit", *evidence_files(folder), "--trust", loaded.trust, "--json", *options
        )
    assert answer.out, answer.err
    for finding in answer.facts["findings"]:
        print(f"{loaded.gateway_id}: {finding}", file=sys.stderr)
    assert (answer.code == 0) == (answer.facts["findings_total"] == 0), answer
    return int(answer.facts["findings_total"])
