"""The published folders: each comes to the verdict that stands beside its files, whatever was changed since."""

from __future__ import annotations

import json

import pytest

from tests.ledger_client.recompute.corpus_cases import CASES, FOLDER, VERDICT, verdict


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir() if path.is_dir()))
def test_a_folder_comes_to_its_verdict(name: str) -> None:
    assert name in CASES
    assert verdict(FOLDER / name) == json.loads((FOLDER / name / VERDICT).read_text())


def test_every_case_has_its_folder() -> None:
    assert CASES.keys() == {path.name for path in FOLDER.iterdir() if path.is_dir()}
