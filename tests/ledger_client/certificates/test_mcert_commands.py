"""``certificate prove`` and ``verify`` as holders and buyers use them, against a registry that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_client.certificates.mcert.file import CertificateFile
from tests.support.accounted import QUARTER_MS
from tests.support.certificates.market import Market, Station, market
from tests.support.commands import Answer, ledger_command

PERIOD = ["--period", "2026-10-01T00:00:00Z/2026-11-01T00:00:00Z"]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("town")) as made:
        yield made


@pytest.fixture
def site(town: Market) -> Station:
    return town.station()


def prove(town: Market, site: Station, cert: str, output: Path, *more: object) -> Answer:
    return ledger_command(
        "certificate", "prove", cert, *site.files, "--rows", site.rows_file, *town.there, "-o", output, *more
    )


def verify(town: Market, file: Path, *more: object) -> Answer:
    return ledger_command("certificate", "verify", file, "--trust", town.trust, *more)


def test_a_slice_is_proven_passed_on_and_proven_by_who_receives_it(town: Market, site: Station, tmp_path: Path) -> None:
    cert = town.certified(site)[1]
    assert town.run("transfer", f"{cert}:0-500", "mill", by="works").code == 0
    first, second = tmp_path / "first.mcert", tmp_path / "second.mcert"
    done = prove(town, site, f"{cert}:0-500", first)
    assert (done.code, done.out.startswith(f"wrote {first}: {cert}")) == (0, True), done
    answer = verify(town, first)
    assert answer.code == 0, answer
    assert "VERIFIED: 500 Wh, held by mill" in answer.out
    assert [line[0] for line in answer.out.splitlines()[:9]] == [*"123456789"]
    facts = verify(town, first, "--online", *town.there, "--batches", site.folder, "--json").facts
    assert (facts["verified"], facts["online"], facts["batches"]) == (True, [], [])
    assert (facts["holder"], facts["slice"], facts["certificate"]) == ("mill", [0, 500], cert)
    assert facts["device"]["id"] == site.device
    (edge,) = facts["edges"]
    assert float(edge["to"]) - float(edge["from"]) == float(facts["energy"]) == 90_000

    assert town.run("retire", f"{cert}:0-200", "--purpose", "RE100", *PERIOD, by="mill").code == 0
    moved = verify(town, first, "--online", *town.there)
    assert (moved.code, "units [0, 200) are retired by mill by now (R3)" in moved.out) == (1, True), moved
    assert verify(town, first).code == 0
    done = ledger_command("certificate", "prove", f"{cert[:10]}:0-200", first, *town.there, "-o", second)
    assert done.code == 0, done
    facts = verify(town, second, "--json").facts
    assert (facts["status"], facts["slice"], facts["purpose"]) == ("retired", [0, 200], "RE100")
    kept = sorted((town.folder / "mill" / "claims").rglob("*.claim"))
    again = tmp_path / "again.mcert"
    assert ledger_command("certificate", "prove", f"{cert}:0-200", first, *kept, "-o", again).code == 0
    assert CertificateFile.parse(again.read_bytes()).claims == CertificateFile.parse(second.read_bytes()).claims


def test_a_file_that_was_changed_is_refused_with_its_step(town: Market, site: Station, tmp_path: Path) -> None:
    cert, file = town.certified(site)[0], tmp_path / "one.mcert"
    assert prove(town, site, cert, file).code == 0
    parts = CertificateFile.parse(file.read_bytes())
    file.write_bytes(CertificateFile(parts.row, parts.period, parts.edges, parts.period, parts.claims).encode())
    answer = verify(town, file)
    assert (answer.code, answer.out.splitlines()[0].startswith("NOT VERIFIED, step 7 (plan): ")) == (1, True)
    assert answer.out.splitlines()[1].startswith("  fix: ")
    facts = verify(town, file, "--json").facts
    assert (facts["verified"], facts["step"], facts["error"], facts["rule"]) == (False, 7, "plan", "T1")
    assert facts["fix"]


def test_a_restatement_is_named_until_the_difference_is_retired(town: Market, site: Station, tmp_path: Path) -> None:
    certs, file = town.certified(site), tmp_path / "last.mcert"
    assert prove(town, site, certs[3], file).code == 0
    alone = verify(town, file, "--batches", *site.files[:1])
    assert (alone.code, "no file holds the statement" in alone.out) == (1, True), alone
    closed_ms = verify_from_ms(town, file) - QUARTER_MS
    site.restate(closed_ms - 2 * QUARTER_MS, closed_ms + QUARTER_MS)
    answer = verify(town, file, "--batches", site.folder)
    assert (answer.code, "over-issued" in answer.out, "(C3)" in answer.out) == (1, True, True), answer
    online = ["--online", *town.there, "--batches", site.folder]
    assert verify(town, file, *online).code == 1
    made_up = town.run("retire", certs[0], "--purpose", "over-issued", *PERIOD, by="works")
    assert made_up.code == 0, made_up
    answer = verify(town, file, *online)
    assert (answer.code, "still gives these units" in answer.out) == (0, True), answer


def verify_from_ms(town: Market, file: Path) -> int:
    from datetime import datetime

    begin = verify(town, file, "--json").facts["from"]
    return int(datetime.fromisoformat(begin).timestamp()) * 1000


def test_what_cannot_be_used_is_refused_before_anything_is_done(town: Market, site: Station, tmp_path: Path) -> None:
    cert, file = town.certified(site)[0], tmp_path / "one.mcert"
    assert prove(town, site, f"{cert}:5-5", file).code == 2
    assert "has no certificate" in prove(town, site, "00" * 32, file).err
    assert (
        "has no effect without --registry"
        in ledger_command("certificate", "prove", cert, "--ca", "x.pem", "-o", file).err
    )
    assert not file.exists()
    assert prove(town, site, cert, file).code == 0
    assert "has no effect without --online" in verify(town, file, *town.there).err.replace("have", "has")
    assert "is to be asked" in verify(town, file, "--online").err
    assert "No such file" in verify(town, tmp_path / "none.mcert").err
    file.write_text("notes")
    assert "is not a certificate file" in prove(town, site, cert, file).err
    assert prove(town, site, cert, file, "--force").code == 0
