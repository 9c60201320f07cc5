"""What a certificate file shows of a producer, and of a consumer: listed, so that nothing is added unseen (Z1–Z3)."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.claims.claim import Retire, Transfer, parse_claim
from ledger_client.formats import cbor
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.senml import Reading
from tests.support.accounted import SECRET
from tests.support.certificates.mcert import ISSUER, OWNER, WORKS, Certified, cert_of, certified_plan

SALT, NAME = b"a salt of the buyer", b"Works of the Lower Valley"


def file_of(folder: Path, **plan: Any) -> tuple[Certified, bytes]:
    """The file of a slice that a consumer has retired for somebody."""
    made = Certified.made(folder, lambda from_ms: certified_plan(from_ms) | plan)
    issue = made.registry.claim(ISSUER, made.issue())
    move = made.registry.claim(OWNER, Transfer(cert_of(issue), (0, 100), WORKS))
    beneficiary = sha256(SALT + NAME).digest()
    use = made.registry.claim(WORKS, Retire(cert_of(issue), (0, 100), "scope 2", 0, 1000, beneficiary))
    return made, made.file(issue, move, use).encode()


def test_of_a_consumer_it_shows_a_name_and_hashes(tmp_path: Path) -> None:
    _, data = file_of(tmp_path)
    claim = parse_claim(CertificateFile.parse(data).claims[-1].entry)
    payload = cbor.decode(claim.sign1.payload or b"")
    assert {key: payload[key] for key in payload if key != "cert"} == {
        "op": "retire", "slice": [0, 100], "purpose": "scope 2", "period": [0, 1000],
        "for": sha256(SALT + NAME).digest(),
    }  # fmt: skip
    assert (claim.claim.party, NAME in data, SALT in data) == (WORKS, False, False)


def test_of_a_producer_it_shows_one_row_and_the_readings_at_its_edges(tmp_path: Path) -> None:
    made, data = file_of(tmp_path)
    file = CertificateFile.parse(data)
    records = [parse_record(Bundle.parse(edge).record) for edge in file.edges]
    shown = [(record.claims.meter, [value.name for value in record.body.values]) for record in records
             if isinstance(record.body, Reading)]  # fmt: skip
    assert shown == [("export-main", ["energy"])] * 4
    assert [row in data for row in made.rows.rows] == [True, False, False, False]
    assert SECRET not in data
    period = parse_record(Bundle.parse(file.period).record).body
    assert isinstance(period, Event)
    assert set(period.fields) == {
        "v", "rules", "plan", "from", "to", "version", "complete", "entries", "batches", "capture", "uses", "totals",
        "rows", "findings",
    }  # fmt: skip
    plan = parse_record(Bundle.parse(file.plan).record).body
    assert isinstance(plan, Event)
    assert set(plan.fields) == {
        "plan", "v", "rules", "from", "interval", "civil", "points", "nodes", "profiles", "factors", "site",
        "disclosure",
    }  # fmt: skip


def test_a_site_that_discloses_only_the_root_shows_no_totals(tmp_path: Path) -> None:
    _, data = file_of(tmp_path, disclosure="root")
    period = parse_record(Bundle.parse(CertificateFile.parse(data).period).record).body
    assert isinstance(period, Event)
    assert "totals" not in period.fields


@pytest.mark.parametrize("place", range(4))
def test_the_other_rows_are_not_guessed_from_their_hashes(tmp_path: Path, place: int) -> None:
    made, data = file_of(tmp_path)
    row = made.rows.rows[place]
    assert sha256(b"\x00" + row).digest() not in data  # a leaf is salted
