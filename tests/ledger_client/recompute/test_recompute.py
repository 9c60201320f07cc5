"""A statement is recomputed from batches and trust file, byte by byte; whatever was changed is named with its rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Rows, leaf_proof, parse_row, salted_leaf, status_of
from ledger_client.accounting.statement import parse_choice
from ledger_client.formats.batch_file import BatchFile, write_batch
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.merkle import root_from_path
from ledger_client.formats.statement import read_statement, sign_statement
from ledger_client.recompute.run import Result, recompute
from ledger_client.recompute.sources import scan
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import proof_of, trusted
from tests.support.evidence import GATEWAY, NOW, key


@pytest.fixture(scope="module")
def stated_site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Accounted, Path, int]:
    """An hour of quarters, sealed in three batches; the statement stands in the last."""
    return hour(tmp_path_factory.mktemp("hour"))


def hour(folder: Path) -> tuple[Accounted, Path, int]:
    site = Accounted(folder)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    site.polls(200)
    site.seal()
    site.polls(20, answered=False)
    site.polls(180)
    site.seal()
    _, rows = site.state(from_ms, from_ms + 4 * QUARTER_MS, (0, 1))
    site.polls(2)
    site.seal()
    return site, rows, from_ms


def again(site: Accounted, *rows: Path) -> Result:
    return recompute(site.files, trusted(), NOW, rows=rows)


def test_a_statement_comes_out_as_it_was_signed(stated_site: tuple[Accounted, Path, int]) -> None:
    site, path, from_ms = stated_site
    result = again(site, path)
    assert result.audit.findings == []
    (period,) = result.periods
    assert period.differences == []
    assert result.equal
    assert period.rows_compared
    rows = [parse_row(row) for row in Rows.parse(path.read_bytes()).rows]
    assert [(row.status, row.from_ms) for row in rows] == [("measured", from_ms + n * QUARTER_MS) for n in range(4)]
    assert sum(row.amount or 0 for row in rows) == 360_000_000
    assert period.fields["totals"] == [["station", "measured", period.fields["totals"][0][2]]]
    assert str(period.fields["totals"][0][2]) == "360000.000"


def test_without_rows_the_rest_is_compared(stated_site: tuple[Accounted, Path, int]) -> None:
    site, _, _ = stated_site
    result = again(site)
    assert result.equal
    assert not result.periods[0].rows_compared


def test_a_row_is_proven_by_itself(stated_site: tuple[Accounted, Path, int]) -> None:
    site, path, _ = stated_site
    rows = Rows.parse(path.read_bytes())
    proof = leaf_proof(rows, 2)
    root = again(site).periods[0].fields["rows"][1]
    assert root_from_path(salted_leaf(proof.salt, proof.row), proof.size, proof.place, proof.path) == root
    assert status_of(proof.row) == "measured"


@pytest.mark.parametrize("at", [3, 40, 120])
def test_a_changed_row_is_named(stated_site: tuple[Accounted, Path, int], tmp_path: Path, at: int) -> None:
    site, path, _ = stated_site
    rows = Rows.parse(path.read_bytes())
    first = bytearray(rows.rows[1])
    first[-at] ^= 1
    changed = tmp_path / "changed.mrows"
    try:
        changed.write_bytes(Rows(rows.secret, (rows.rows[0], bytes(first), *rows.rows[2:])).encode())
    except ValueError:
        pytest.fail("the row cannot be written")
    result = again(site, changed)
    assert not result.equal
    assert result.periods[0].differences


def test_another_plan_is_missed(stated_site: tuple[Accounted, Path, int]) -> None:
    site, path, _ = stated_site
    result = recompute(site.files[1:], trusted(), NOW, rows=(path,))
    (period,) = result.periods
    assert [d.rule for d in period.differences] == ["P2"]


def test_an_entry_left_out_is_named(tmp_path: Path) -> None:
    site = Accounted(tmp_path)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    exchange = {"kind": "register", "of": POINT, "from": from_ms + 60_000, "to": from_ms + 60_000}
    site.event(
        "entry", **exchange, values={"final": 1010, "initial": 0}, unit="kWh", reason="exchange", user="installer"
    )
    site.polls(110)
    site.seal()
    statement, _ = site.state(from_ms, from_ms + QUARTER_MS, (0, 0))
    lied = dict(statement.fields) | {"entries": []}
    site.rows.pop()
    site.event("period", **lied)
    site.seal()
    (period,) = again(site).periods
    assert [(d.rule, d.where) for d in period.differences] == [("P9", "entries")]


@pytest.mark.parametrize(
    "broken",
    [{"rows": 5}, {"rows": [1]}, {"rows": [1, b"", b""]}, {"entries": 7}, {"entries": [[]], "to": "x"}],
)
def test_a_statement_beside_one_that_is_none_is_judged(broken: dict[str, Any], tmp_path: Path) -> None:
    """What its owner signed under its name is named, whatever it is."""
    site = Accounted(tmp_path)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    site.polls(110)
    none = site.event("period", plan=site.plan, **broken)
    site.seal()
    site.state(from_ms, from_ms + QUARTER_MS, (0, 0), before=none, uses=(none,))
    site.seal()
    result = again(site)
    assert [period.equal for period in result.periods] == [False, False]
    assert all(period.differences for period in result.periods)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [("rows", [1, b"r" * 32, b""], "T1"), ("rows", [1], "T1"), ("entries", 7, "T1"), ("entries", [7], "P9")],
)
def test_a_statement_of_another_form_is_refused_by_rule(
    key: str, value: Any, rule: str, stated_site: tuple[Accounted, Path, int]
) -> None:
    fields = dict(again(stated_site[0]).periods[0].fields)
    with pytest.raises(AccountingError, match=rule):
        parse_choice(fields | {key: value}, 0)


def of_another_gateway(path: Path, folder: Path) -> Path:
    """The same batch, as a gateway of another name would state it."""
    batch = BatchFile.open(path)
    entry = sign_statement(replace(read_statement(batch.entry).statement, gateway="other"), key("statement", ES256))
    with (folder / path.name).open("wb") as file:
        write_batch(file, list(batch.records()), entry, [])
    return folder / path.name


def test_batches_of_two_gateways_are_named(stated_site: tuple[Accounted, Path, int], tmp_path: Path) -> None:
    site, rows, _ = stated_site
    strange = of_another_gateway(site.files[0], tmp_path)
    result = recompute([*site.files, strange], trusted(), NOW, rows=[rows])
    assert not result.equal
    assert [f.detail for f in result.audit.findings] == [f"is of gateway other, not of {GATEWAY}: audit each alone"]
    assert result.periods[0].differences == []


def test_entries_of_proofs_have_their_place(tmp_path: Path) -> None:
    """Of two entries that replace nothing and one that does, the order tells which counts; a proof keeps it."""
    site = Accounted(tmp_path)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    of = {"kind": "closure", "of": "station", "from": from_ms, "to": from_ms, "values": {}, "user": "u"}
    first = site.event("entry", **of, reason="sold")
    site.polls(10)
    paths = [proof_of(site.seal(), "entry")]
    second = site.event("entry", **of, reason="sold on that day", replaces=first)
    site.polls(10)
    paths.append(proof_of(site.seal(), "entry"))
    for order in (paths, paths[::-1], [site.files[1], paths[0]], [paths[1], site.files[0]]):
        sources = scan(order, trusted(), NOW)
        assert [(batch, entry.record) for batch, entry in sources.entries] == [(0, first), (1, second)]
