"""A few cases of the corpus by the command that people type: its exit code and the step that it names."""

from __future__ import annotations

import pytest

from tests.corpus.cases import Case, cases
from tests.support.commands import ledger_command

NAMES = (
    "good-reading", "value-decimal-beyond-doubles", "file-empty", "signature-record-ed25519-s-plus-l", "path-hash",
    "statement-sub-other", "sequence-number", "junk-text", "delay-beyond", "policy-none", "trust-policy-receipts-0",
    "trust-public-order-8",
)  # fmt: skip


@pytest.mark.parametrize("case", [case for case in cases() if case.name in NAMES], ids=lambda case: case.name)
def test_the_command_comes_to_the_verdict_of_a_case(case: Case) -> None:
    answer = ledger_command("verify", case.file, "--trust", case.trust, "--json")
    answer.ended({"good": 0, "bad": 1, "trust": 2}[case.verdict])
    if case.verdict != "trust":
        assert (answer.facts["verified"], answer.facts["step"]) == (case.verdict == "good", case.number)


def test_each_of_them_is_a_case() -> None:
    assert {case.name for case in cases()} >= {*NAMES}
