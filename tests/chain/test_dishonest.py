"""Histories made to deceive, in a short seeded form: each is caught by whom it must be, for the right reason."""

from __future__ import annotations

from benchmarks import dishonest
from benchmarks.parts.dishonest_stage import Case, Said
from tests.commands import beyond_configuration

NOT_YET = {
    "back-dated",
    "bt-falls",
    "clock-set-untold",
    "copied-file-given-last",
    "coverage-stands-still",
    "due-before-any-configuration",
    "halved-due",
    "head-cut-off",
    "held-back-audited",
    "ledger-not-there",
    "lost-by-an-event",
    "meter-that-no-configuration-knows",
    "middle-cut",
    "no-configuration",
    "no-coverage",
    "nothing-due-for-a-minute",
    "other-config-than-the-events",
    "part-of-a-configuration",
    "period-changed-silently",
    "quiet-key",
    "reading-behind-its-coverage",
    "revoked-keys-event",
    "second-ledger-not-asked",
    "signed-after-its-receipt",
    "signed-before-it-was-read",
    "signed-long-after",
    "start-without-coverage",
    "statement-from-wrong",
    "statement-to-wrong",
    "tail-cut-off",
    "tail-cut-off-online",
    "thinning-untold",
    "three-polls-not-due",
    "told-again",
    "two-ledgers",
    "up-falls",
    "vanished-meter",
}
"""What no rule catches as yet."""


def test_each_dishonest_history_is_caught_and_each_honest_one_is_sound() -> None:
    figures = dishonest.run(**dishonest.SMALLEST[0])
    missed, unsound = figures["missed"], figures["unsound"]
    assert isinstance(missed, list)
    assert isinstance(unsound, list)
    assert set(missed) <= NOT_YET
    controls = figures["controls"]
    assert isinstance(controls, dict)
    found = {name: beyond_configuration(facts["findings"]) for name, facts in controls.items()}
    assert {name: findings for name, findings in found.items() if findings} == {}


def test_what_is_caught_by_another_or_for_another_reason_is_missed() -> None:
    case = Case("audit", "coverage", "no coverage", lambda _: [])
    right = Said("audit", "coverage", "export-main: no coverage of this meter")
    assert dishonest.fits(case, right)
    for wrong in (
        right._replace(by="ledger"),
        right._replace(where="chain"),
        right._replace(text="export-main: a hole"),
    ):
        assert not dishonest.fits(case, wrong)
