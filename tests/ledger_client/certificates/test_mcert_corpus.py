"""The published certificate files: what is built again is what was published, and each stops where its table says."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from ledger_client.certificates.mcert.steps import CertificateError
from ledger_client.certificates.mcert.verify import verify_certificate
from ledger_client.verification.trust_file import parse_trust
from tests.ledger_client.certificates.mcert_corpus import EXPECTED, TRUST, archived, cases, table
from tests.support.certificates.mcert import trust_text
from tests.support.evidence import NOW


def test_the_published_files_are_built_again_byte_by_byte(tmp_path: Path) -> None:
    made = cases(tmp_path)
    assert EXPECTED.read_text() == table(made)
    assert archived() == {f"{case.name}.mcert": case.data for case in made} | {TRUST: trust_text().encode()}


def test_each_stops_at_the_step_that_its_table_says() -> None:
    files = archived()
    trust = parse_trust(files[TRUST].decode(), TRUST)
    with EXPECTED.open(newline="") as stream:
        expected = list(csv.DictReader(stream, delimiter="\t"))
    assert Counter(int(row["step"]) > 0 for row in expected) == {False: 10, True: 40}
    assert {int(row["step"]) for row in expected} == set(range(10))
    assert files.keys() == {TRUST, *(row["file"] for row in expected)}
    for row in expected:
        if row["step"] == "0":
            assert verify_certificate(files[row["file"]], trust, NOW).unconfirmed == ()
            continue
        with pytest.raises(CertificateError) as caught:
            verify_certificate(files[row["file"]], trust, NOW)
        assert (str(caught.value.step), caught.value.rule) == (row["step"], row["rule"]), row["file"]
