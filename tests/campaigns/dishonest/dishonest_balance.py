"""Balances that a party makes prettier by its form, its factors or its papers; `neutrality` is asked, as a buyer would.

All begin with the hour of ``tests.support.certificates.town``, of which nothing is left once a verifier attests it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.campaigns.dishonest.dishonest_stage import Case, Objection, Stage
from tests.support.certificates.town import EXCLUDED, OFFSET, Town
from tests.support.commands import Answer

JUDGE = "neutrality"
OTHER = "cd" * 32
CLEAN_MIX = """
[[factor]]
series = "own-CN-YN-residual"
id = "own-CN-YN-residual-2026"
kind = "residual"
value = "0.0001"
unit = "kg/kWh"
region = "CN-YN"
vintage = 2026
published = "2026-01-01"
document = "our letter"
confirmed = false
"""


def _objections(done: Answer) -> list[Objection]:
    """What was said against it: nothing, where the answer is yes."""
    if done.code == 0:
        return []
    text = done.err.strip() or done.out.strip()
    refused = "usage, exit 2" if done.code == 2 else "refused" if text.startswith("REFUSED") else "no"
    return [Objection(JUDGE, refused, text)]


def _form(*changes: tuple[str, str], end: str = "") -> Callable[[Stage], list[Objection]]:
    """The town's form with other words."""
    return lambda stage: _objections(stage.town.judge(stage.town.form(*changes, end=end)))


def _attested(stage: Stage) -> tuple[Town, Path, Path]:
    town = stage.town
    claim = town.sign(town.form())
    return town, claim, town.attest(claim)


def _changed_since(stage: Stage) -> list[Objection]:
    """Another boundary than the verifier saw."""
    town, claim, verdict = _attested(stage)
    return _objections(town.judge(town.signed_form(verdict, claim=claim, changes=(('"the works"', '"the yard"'),))))


def _of_another(stage: Stage) -> list[Objection]:
    town = stage.town
    claim = town.sign(town.form())
    return _objections(town.judge(town.signed_form(town.attest(OTHER), claim=claim)))


def _taken_back(stage: Stage) -> list[Objection]:
    """The verifier has said otherwise since, and both verdicts are given."""
    town, claim, verdict = _attested(stage)
    return _objections(town.judge(town.signed_form(verdict, town.attest(claim, "adverse"), claim=claim)))


def _by_a_friend(stage: Stage) -> list[Objection]:
    """The reader's trust file knows the sender as an issuer."""
    town, claim, verdict = _attested(stage)
    trust = town.trust('role = "verifier"', 'role = "issuer"')
    return _objections(town.judge(town.signed_form(verdict, claim=claim), trust=trust))


def _without_batches(stage: Stage) -> list[Objection]:
    town = stage.town
    return _objections(town.judge(town.form(files=town.proofs())))


def _restated(stage: Stage) -> list[Objection]:
    return _objections(stage.town.restated(findings={"entry": 9}))


CASES = {
    "balance-load-left-out": Case(JUDGE, "refused", "neighbour .import, 360000.*B6", _form((EXCLUDED, ""))),
    "balance-exclusion-of-no-node": Case(
        JUDGE, "refused", "no cited statement has a node .*B6", _form((EXCLUDED, EXCLUDED.replace("bour", "bor")))
    ),
    "balance-with-an-own-factor": Case(
        JUDGE, "no", "factor own-CN-YN-residual-2026 is the party's own",
        _form(('"CN-residual"', '"own-CN-YN-residual"'), end=CLEAN_MIX),
    ),
    "balance-with-a-negative-factor": Case(
        JUDGE, "usage, exit 2", "balance.factor.0..value: .*F1",
        _form(('"CN-residual"', '"own-CN-YN-residual"'), end=CLEAN_MIX.replace('"0.0001"', '"-0.1"')),
    ),
    "balance-with-an-older-factor": Case(
        JUDGE, "no", "factor CN-YN-average-2021 is named by its id",
        _form(("[factors]", '[factors]\naverage_id = "CN-YN-average-2021"')),
    ),
    "balance-with-old-offsets": Case(
        JUDGE, "no", "1 offsets are more than 10 years older",
        _form(end=OFFSET.format(vintage=2009, document="0.mcert")),
    ),
    "balance-that-is-its-own-document": Case(
        JUDGE, "refused", "is the form of this balance itself.*C4",
        _form(end=OFFSET.format(vintage=2025, document="BALANCE.toml")),
    ),
    "balance-changed-since-it-was-attested": Case(JUDGE, "refused", "boundary is the works .*B7", _changed_since),
    "balance-with-anothers-attestation": Case(JUDGE, "refused", f"auditor attests {OTHER}.*B7", _of_another),
    "balance-with-a-verdict-that-was-taken-back": Case(JUDGE, "no", "auditor says adverse", _taken_back),
    "balance-attested-by-no-verifier": Case(JUDGE, "refused", "no key .* of auditor as verifier.*B7", _by_a_friend),
    "balance-without-batches": Case(JUDGE, "refused", "no batches, and no verifier attests it.*B6", _without_batches),
    "balance-of-a-statement-that-nothing-gives": Case(JUDGE, "refused", "is NOT EQUAL to .*B6", _restated),
}  # fmt: skip
