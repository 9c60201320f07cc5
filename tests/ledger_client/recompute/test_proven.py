"""Tables are made of rows that a signed statement proves; duckdb finds the statement's totals in them."""

from __future__ import annotations

import csv
import io
import json
import time
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Rows
from ledger_client.accounting.tables.hours import hours
from ledger_client.accounting.tables.periods import periods
from ledger_client.accounting.tables.writing import as_csv
from ledger_client.cli.app import cli
from ledger_client.errors import VerificationError
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.record import record_hash
from ledger_client.recompute.proven import proven
from ledger_client.recompute.sources import accounting_event
from ledger_client.verification.trust_text import key_entry
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import GATEWAY, NOW, VALID_FROM, key, trust, trust_text

SUMS = """
    SELECT node, status, sum(amount::DECIMAL(38, 3)) FROM read_csv(?, all_varchar = true)
    WHERE amount IS NOT NULL GROUP BY node, status ORDER BY node, status
"""


@pytest.fixture(scope="module")
def stated_site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Accounted, Path, int]:
    """An hour of quarters with a silence in it; the statement stands in the third batch, a settlement in the fourth."""
    site = Accounted(tmp_path_factory.mktemp("hour"))
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    site.polls(80)
    site.polls(20, answered=False)
    site.polls(300)
    site.seal()
    _, rows = site.state(from_ms, from_ms + 4 * QUARTER_MS, (0, 0))
    site.polls(2)
    site.seal()
    bill = {"values": {"value": 359}, "unit": "kWh", "reason": "bill", "user": "accountant"}
    site.event("entry", kind="settlement", of="station", **{"from": from_ms}, to=from_ms + 4 * QUARTER_MS, **bill)
    site.polls(2)
    site.seal()
    return site, rows, from_ms


def proofs(site: Accounted, folder: Path) -> list[Path]:
    """The proofs of plan, statement and settlement, out of the batches."""
    made: list[Path] = []
    for path in site.files:
        file = BatchFile.open(path)
        for index, record in enumerate(file.records()):
            if accounting_event(record):
                made.append(folder / f"{len(made)}.mseal")
                made[-1].write_bytes(file.prove(index)[1])
    return made


def test_duckdb_finds_the_totals_of_the_statement(stated_site: tuple[Accounted, Path, int], tmp_path: Path) -> None:
    site, rows, _ = stated_site
    found = proven(site.files, [rows], trusted(), NOW).statements
    totals = [tuple(total) for total in found[0].fields["totals"]]
    assert len(totals) == 2
    for table in (hours(found), periods(found)):
        path = tmp_path / "table.csv"
        path.write_bytes(as_csv(table, bom=True))
        assert sorted(duckdb.execute(SUMS, [str(path)]).fetchall()) == sorted(totals)


def test_proofs_do_as_well_as_batches(stated_site: tuple[Accounted, Path, int], tmp_path: Path) -> None:
    site, rows, _ = stated_site
    (of_batches,), (of_proofs,) = (
        proven(files, [rows], trusted(), NOW).statements for files in (site.files, proofs(site, tmp_path))
    )
    assert as_csv(hours([of_batches])) == as_csv(hours([of_proofs]))
    assert of_batches.entries == of_proofs.entries
    assert len(of_proofs.entries) == 1


def test_a_changed_amount_is_not_proven(stated_site: tuple[Accounted, Path, int], tmp_path: Path) -> None:
    site, path, _ = stated_site
    rows = Rows.parse(path.read_bytes())
    changed = tmp_path / "changed.mrows"
    swapped = (rows.rows[1], rows.rows[0], *rows.rows[2:])
    changed.write_bytes(Rows(rows.secret, swapped).encode())
    with pytest.raises(AccountingError, match="no statement in the files has these rows"):
        proven(site.files, [changed], trusted(), NOW)


def test_a_file_that_holds_no_rows_is_named(stated_site: tuple[Accounted, Path, int]) -> None:
    site, _, _ = stated_site
    with pytest.raises(AccountingError, match="it is no rows file") as refused:
        proven(site.files, [site.files[0]], trusted(), NOW)
    assert refused.value.where == str(site.files[0])


def test_a_statement_of_a_stranger_is_not_proven(stated_site: tuple[Accounted, Path, int]) -> None:
    site, rows, _ = stated_site
    other = key_entry("statement", key("stranger", ES256).public, VALID_FROM, gateway=GATEWAY)
    with pytest.raises(VerificationError):
        proven(site.files, [rows], trust(keys={"statement": other}), NOW)


def test_the_plan_must_be_there(stated_site: tuple[Accounted, Path, int]) -> None:
    site, rows, _ = stated_site
    with pytest.raises(AccountingError, match="no file holds the plan"):
        proven(site.files[1:], [rows], trusted(), NOW)


def test_rows_given_twice_are_refused(stated_site: tuple[Accounted, Path, int]) -> None:
    site, rows, _ = stated_site
    with pytest.raises(AccountingError, match="two statements have"):
        proven(site.files, [rows, rows], trusted(), NOW)


def test_totals_that_are_not_the_sums_are_refused(tmp_path: Path) -> None:
    class Liar(Accounted):
        def event(self, name: str, **fields: object) -> bytes:
            lie = {"totals": [["station", "measured", Decimal("1.000")]]} if name == "period" else {}
            return super().event(name, **(fields | lie))

    site = Liar(tmp_path)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    site.polls(200)
    site.seal()
    _, rows = site.state(from_ms, from_ms + QUARTER_MS, (0, 0))
    site.polls(2)
    site.seal()
    with pytest.raises(AccountingError, match="not the sums of its rows"):
        proven(site.files, [rows], trusted(), NOW)


def test_what_the_reader_should_know(tmp_path: Path) -> None:
    site = Accounted(tmp_path)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    fields = {"from": from_ms, "to": from_ms, "values": {"a": 0, "b": 1}, "reason": "check", "user": "accountant"}
    site.event("entry", kind="calibration", of=POINT, **fields)
    site.polls(200)
    site.seal()
    _, first = site.state(from_ms, from_ms + QUARTER_MS, (0, 0))
    before = site.rows[-1]
    site.polls(2)
    site.seal()
    _, again = site.state(
        from_ms, from_ms + QUARTER_MS, (0, 0), version=2, supersedes=record_hash(before), reason="again"
    )
    site.polls(2)
    site.seal()
    (version_2,), notes, *_ = proven(site.files, [first], trusted(), NOW)
    assert (version_2.fields["version"], notes) == (2, [])  # both have the same rows
    events = [path for n, path in enumerate(proofs(site, tmp_path)) if n != 1]
    lacking = proven(events, [again], trusted(), NOW)
    assert any("1 of its entries are in no file" in note for note in lacking.notes)


def test_a_superseded_statement_is_named(tmp_path: Path) -> None:
    site = Accounted(tmp_path)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    site.polls(200)
    site.seal()
    statement, rows = site.state(from_ms, from_ms + QUARTER_MS, (0, 0))
    later = {"version": 2, "supersedes": record_hash(site.rows[-1]), "reason": "again", "rows": [1, bytes(32)]}
    site.event("period", **(dict(statement.fields) | later))
    site.polls(2)
    site.seal()
    (found,), notes, _, gateway, superseded = proven(site.files, [rows], trusted(), NOW)
    assert found.fields["version"] == 1
    assert [note.partition(": ")[2] for note in notes] == ["version 2 supersedes it"]
    assert (gateway, superseded) == (GATEWAY, frozenset({found.record}))


# ---- the command


@pytest.fixture
def trust_file(tmp_path: Path) -> Path:
    path = tmp_path / "trust.toml"
    path.write_text(trust_text())
    return path


def test_the_command_writes_a_table(
    stated_site: tuple[Accounted, Path, int], trust_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, rows, _ = stated_site
    monkeypatch.setattr(time, "time", lambda: NOW)
    usual = [*map(str, site.files), "--trust", str(trust_file), "--rows", str(rows)]
    path = tmp_path / "month.csv"
    done = CliRunner().invoke(cli, ["table", "cn-monthly", *usual, "--bom", "-o", str(path)])
    assert done.exit_code == 0, done.output
    (line,) = csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
    assert (line["反向有功电能（kWh）"], line["结算电量（kWh）"]) == ("360.000000", "359.000000")
    assert line["差值（表计−结算，kWh）"] == "1.000000"
    done = CliRunner().invoke(cli, ["table", "hours", *usual, "--json", "-o", "-"])
    assert done.exit_code == 0, done.output
    assert [row["rule"] for row in json.loads(done.stdout)["rows"]] == ["I5", "I3", "I3"]


def test_the_command_writes_nothing_that_is_not_proven(
    stated_site: tuple[Accounted, Path, int], trust_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, rows, _ = stated_site
    monkeypatch.setattr(time, "time", lambda: NOW)
    path = tmp_path / "hours.csv"
    usual = ["--trust", str(trust_file), "--rows", str(rows), "-o", str(path)]
    done = CliRunner().invoke(cli, ["table", "hours", str(site.files[0]), *usual])
    assert done.exit_code == 1
    assert "NOT PROVEN" in done.stderr
    assert not path.exists()
