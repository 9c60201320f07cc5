"""The pack of evidence for an issuer of I-RECs: deterministic, each file by its hash, from a real gateway's batches."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.tables.stated import StatedRows
from ledger_client.certificates.irec import MANIFEST, pack
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.record import record_hash
from ledger_client.recompute.proven import proven
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify
from tests.ledger_client.accounting.plans import HOUR, T0, counter, node, plan_fields
from tests.support.certificates.exported import BILL, DEVICE, ExportedSite, exported_site
from tests.support.commands import ledger_command
from tests.support.evidence import NOW


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> ExportedSite:
    return exported_site(tmp_path_factory.mktemp("exported"))


def packed(site: ExportedSite, output: Path, *more: object) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and the other files of the pack."""
    words = ["irec", *site.files, "--trust", site.trust, "--rows", site.rows, "-o", output, *more]
    result = ledger_command(*words)
    assert result.code == 0, result.output
    with zipfile.ZipFile(output) as read:
        files = {name: read.read(name) for name in read.namelist()}
    return json.loads(files.pop(MANIFEST)), files


def test_the_manifest_has_device_period_energy_and_metering(site: ExportedSite, tmp_path: Path) -> None:
    manifest, _ = packed(site, tmp_path / "pack.zip")
    assert manifest["device"] == DEVICE | {"zone": "CN-GD"}
    kwh = Decimal(sum(site.units)) / 1000
    assert (Decimal(manifest["kwh"]), manifest["kwh_left_out"]) == (kwh, "0.000000")
    metering = manifest["metering"]
    assert metering["evidence"] == "settlement"
    assert metering["settled_kwh"] == "359.000000"
    assert Decimal(metering["metered_less_settled_kwh"]) == kwh - 359
    (bill,) = metering["settlements"]
    assert (bill["from"], bill["to"], bill["kwh"]) == (manifest["from"], manifest["to"], "359.000000")
    assert bill["document"] == sha256(BILL).hexdigest()


def test_each_file_is_there_by_its_hash(site: ExportedSite, tmp_path: Path) -> None:
    manifest, files = packed(site, tmp_path / "pack.zip")
    assert {one["name"]: (one["sha256"], one["bytes"]) for one in manifest["files"]} == {
        name: (sha256(data).hexdigest(), len(data)) for name, data in files.items()
    }


def test_its_proofs_verify_and_are_those_that_it_names(site: ExportedSite, tmp_path: Path) -> None:
    manifest, files = packed(site, tmp_path / "pack.zip")
    proofs = {name: data for name, data in files.items() if name.startswith("proofs/")}
    (statement,) = manifest["statements"]
    (bill,) = manifest["metering"]["settlements"]
    named = [("plan", statement["plan"]), ("statement", statement["record"]), ("entry", bill["entry"])]
    assert set(proofs) == {f"proofs/{kind}-{name}.mseal" for kind, name in named}
    for kind, name in named:
        bundle = proofs[f"proofs/{kind}-{name}.mseal"]
        verify(bundle, load_trust(site.trust), NOW, kind="event")
        assert record_hash(Bundle.parse(bundle).record).hex() == name


def test_its_hours_add_to_its_energy(site: ExportedSite, tmp_path: Path) -> None:
    manifest, files = packed(site, tmp_path / "pack.zip")
    lines = list(csv.DictReader(io.StringIO(files["hours.csv"].decode(), newline="")))
    assert {line["node"] for line in lines} == {"station"}
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(manifest["kwh"]) * 1000


def test_the_same_inputs_give_the_same_bytes(site: ExportedSite, tmp_path: Path) -> None:
    bill = tmp_path / "bill.pdf"
    bill.write_bytes(BILL)
    made = [tmp_path / name for name in ("one.zip", "two.zip")]
    for path in made:
        packed(site, path, "--document", bill)
    assert made[0].read_bytes() == made[1].read_bytes()


def test_documents_stand_by_their_hash_in_the_pack_or_not(site: ExportedSite, tmp_path: Path) -> None:
    manifest, _ = packed(site, tmp_path / "pack.zip")
    entry = manifest["metering"]["settlements"][0]["entry"]
    cited = {"sha256": sha256(BILL).hexdigest(), "cited_by": [entry]}
    assert manifest["documents"] == [{**cited, "name": None, "in_pack": False}]
    for name, data in (("bill.pdf", BILL), ("permit.pdf", b"permit")):
        (tmp_path / name).write_bytes(data)
    words = [word for name in ("bill.pdf", "permit.pdf") for word in ("--document", tmp_path / name)]
    manifest, files = packed(site, tmp_path / "pack.zip", *words)
    permit = {"sha256": sha256(b"permit").hexdigest(), "name": "permit.pdf", "in_pack": True, "cited_by": []}
    bill = {**cited, "name": "bill.pdf", "in_pack": True}
    assert manifest["documents"] == sorted([bill, permit], key=lambda one: str(one["sha256"]))
    assert files[f"documents/{cited['sha256'][:16]}-bill.pdf"] == BILL


def test_without_a_settlement_of_the_whole_period_the_metering_is_other(site: ExportedSite) -> None:
    found = proven(site.files, [site.rows], load_trust(site.trust), NOW)
    (statement,) = found.statements
    bare = StatedRows(statement.record, statement.fields, statement.plan, statement.rows, ())
    with zipfile.ZipFile(io.BytesIO(pack([bare], found.proofs, [], None))) as read:
        metering = json.loads(read.read(MANIFEST))["metering"]
    assert (metering["evidence"], metering["settled_kwh"], metering["settlements"]) == ("other", None, [])
    assert metering["meters"] == sorted({point.meter for point in statement.plan.points.values()})


def test_a_settlement_of_a_part_of_the_period_is_no_evidence_for_it(site: ExportedSite) -> None:
    found = proven(site.files, [site.rows], load_trust(site.trust), NOW)
    (statement,) = found.statements
    part = replace(statement.entries[0], to_ms=statement.span[1] - 900_000)
    with zipfile.ZipFile(io.BytesIO(pack([replace(statement, entries=[part])], found.proofs, [], None))) as read:
        metering = json.loads(read.read(MANIFEST))["metering"]
    assert (metering["evidence"], metering["settled_kwh"]) == ("other", "359.000000")
    assert metering["metered_less_settled_kwh"] is None


def two_devices() -> StatedRows:
    points = {f"{name}/energy": counter() for name in ("a", "b")}
    nodes = {n: node("production", f"{n}/energy", certificate=DEVICE | {"id": n.upper()}) for n in ("a", "b")}
    plan = parse_plan(plan_fields(points=points, nodes=nodes))
    rows = [Row(name, T0, T0 + HOUR, "measured", 1_000_000, {}) for name in ("a", "b")]
    return StatedRows(b"\x01" * 32, {"from": T0, "to": T0 + HOUR, "plan": b"\x02" * 32}, plan, rows, ())


@pytest.mark.parametrize(
    ("device", "problem"), [(None, "the plans have the devices A, B"), ("C", "no plan has the device C")]
)
def test_a_pack_is_of_one_device(device: str | None, problem: str) -> None:
    with pytest.raises(AccountingError, match=problem) as refused:
        pack([two_devices()], {}, [], device)
    assert (refused.value.rule, refused.value.where) == ("X2", "--device")


def test_rows_that_nobody_signed_give_no_pack(site: ExportedSite, tmp_path: Path) -> None:
    words = ["irec", site.files[0], "--trust", site.trust, "--rows", site.rows, "-o", tmp_path / "pack.zip"]
    result = ledger_command(*words)
    assert (result.code, (tmp_path / "pack.zip").exists()) == (1, False)
    assert "NOT PROVEN: " in result.output
