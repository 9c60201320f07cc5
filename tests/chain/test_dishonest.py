"""Histories made to deceive, in a short seeded form: each is caught by whom it must be, for the right reason."""

from __future__ import annotations

from benchmarks import dishonest
from benchmarks.parts.dishonest_stage import Case, Said


def test_each_dishonest_history_is_caught_and_each_honest_one_is_sound() -> None:
    figures = dishonest.run(**dishonest.SMALLEST[0])
    missed, unsound = figures["missed"], figures["unsound"]
    assert (missed, unsound) == ([], [])


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
