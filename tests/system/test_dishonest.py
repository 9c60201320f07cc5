"""Histories made to deceive, in a short seeded form: each is caught by whom it must be, for the right reason."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from ledger_client.audit.run import audit
from ledger_client.verification.trust_file import load_trust
from tests.campaigns.dishonest import dishonest
from tests.campaigns.dishonest.dishonest_stage import Case, Objection
from tests.campaigns.honest.honest_controls import CONTROLS, Place, by_chance, ended
from tests.support.gateways.apart import export_to
from tests.support.processes import embedded_ledger

SHARES = "[a-c]", "[d-f]", "[g-m]", "[n-p]", "[q-r]", "[s]", "[t-z]"
"""First letters of cases that are tried together, so that no test is much longer than others."""


@pytest.mark.parametrize("share", SHARES)
def test_each_dishonest_history_is_caught_and_each_honest_one_is_sound(share: str) -> None:
    figures = dishonest.run(**dishonest.SMALLEST[0], only=f"^{share}")
    assert (figures["missed"], figures["unsound"]) == ([], [])


def test_each_history_is_in_a_share() -> None:
    assert [name for name in [*dishonest.CASES, *CONTROLS] if not re.match("|".join(SHARES), name)] == []


def test_nothing_is_found_in_histories_of_chance(tmp_path: Path) -> None:
    """Of seeds with which a rule has once been too strict."""
    with embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        for seed in (3, 7, 15, 25, 39, 40):
            (folder := tmp_path / str(seed)).mkdir()
            facts = by_chance(Place(folder, ledger, time.time(), seed))
            assert (seed, facts["exit"], facts["findings"]) == (seed, 0, [])


def test_any_stretch_of_an_honest_history_is_sound_with_the_proofs_that_are_exported_beside_it(tmp_path: Path) -> None:
    """Proofs tell what was configured before, and by how much the clock had jumped."""
    with embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        (folder := tmp_path / "sites").mkdir()
        for name in ("restart", "thinning", "reload", "clock-set-far-forward", "start-without-a-clock"):
            loaded = ended(Place(folder, ledger, time.time(), 7), name).loaded
            export_to(loaded, out := tmp_path / name)
            batches, proofs = sorted(out.glob("*.mbatch")), sorted(out.glob("*.mseal"))
            trust = load_trust(loaded.trust)
            for first in range(1, len(batches)):
                for last in {first + 1, len(batches)}:
                    result = audit([*batches[first:last], *proofs], trust, int(time.time()))
                    assert (name, first, last, result.findings) == (name, first, last, [])


def test_what_is_caught_by_another_or_for_another_reason_is_missed() -> None:
    case = Case("audit", "coverage", "no coverage", lambda _: [])
    right = Objection("audit", "coverage", "export-main: no coverage of this meter")
    assert dishonest.fits(case, right)
    for wrong in (
        right._replace(by="ledger"),
        right._replace(where="chain"),
        right._replace(text="export-main: a hole"),
    ):
        assert not dishonest.fits(case, wrong)
