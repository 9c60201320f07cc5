"""Honest histories of what people supply: entries late and corrected; their recomputation is YES, and finds nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledger_client.recompute.report import in_words
from ledger_client.recompute.verdict import judge
from ledger_client.verification.trust_file import parse_trust
from tests.ledger_client.recompute.corpus_cases import Plant, moisture_beside_carbon
from tests.support.evidence import NOW, trust_text


def analyses(folder: Path) -> dict[str, Any]:
    """Daily moisture beside monthly carbon, of which one comes late and one is corrected: the facts of the audit, with
    what the recomputation says against it among the findings."""
    folder.mkdir()
    moisture_beside_carbon(Plant(folder))
    verdict = judge([folder], parse_trust(trust_text(), "trust.toml"), NOW)
    (one,) = verdict.gateways
    facts = one.result.audit.as_json()
    lines = [] if verdict.yes else in_words(verdict)
    lines += [f"{name}: {count}" for period in one.result.periods for name, count in period.fields["findings"].items()]
    against = [{"step": "recompute", "record": None, "batch": None, "detail": line} for line in lines]
    findings = [*facts["findings"], *against]
    return {**facts, "exit": 0 if verdict.yes else 1, "findings": findings, "findings_total": len(findings)}
