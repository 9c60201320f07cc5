"""Whatever is changed in a statement, its rows, its plan or its entries is named, with its rule and its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger_client.accounting.formats.rows import Row, Rows, decimal, parse_row, row_bytes
from ledger_client.formats import cbor
from ledger_client.recompute.compare import Difference, differences
from ledger_client.recompute.run import Recomputed, recompute
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import NOW


class Site(Accounted):
    """An hour with an exchange, and its statement. ``lie``: what an event says instead, by its name."""

    lie: Mapping[str, Mapping[str, Any]] = {}

    def event(self, name: str, **fields: Any) -> bytes:
        return super().event(name, **(fields | dict(self.lie.get(name, {}))))

    def hour(self) -> Path:
        """Batches, statement and rows file."""
        from_ms = self.from_ms
        fields = plan_fields(from_ms)
        fields["points"][POINT] |= {"u": Decimal("0.01"), "u_source": "certificate"}
        self.publish(fields)
        self.polls(100)
        when = self.gateway.clock.now_ms - 5_000
        of = {"kind": "register", "of": POINT, "from": when, "to": when, "reason": "exchange", "user": "installer"}
        self.event("entry", **of, values={"final": self.register, "initial": 0}, unit="kWh")
        self.register = 0
        self.polls(120)
        self.seal()
        self.polls(20, answered=False)
        self.polls(200)
        self.seal()
        _, rows = self.state(from_ms, from_ms + 4 * QUARTER_MS, (0, 1))
        self.polls(1)
        self.seal()
        return rows


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recomputed, Rows]:
    site = Site(tmp_path_factory.mktemp("honest"))
    path = site.hour()
    result = recompute(site.files, trusted(), NOW, rows=[path])
    (period,), rows = result.periods, Rows.parse(path.read_bytes())
    assert result.equal
    assert period.rows_compared
    assert period.statement is not None
    period.statement = replace(period.statement, rows=tuple(rows.rows))  # the same, which are not kept
    return period, rows


RULES = {
    "v": "P1", "rules": "P1", "plan": "P2", "from": "N6", "to": "N6", "version": "T4", "complete": "T7",
    "entries": "P9", "batches": "T2", "capture": "T2", "uses": "T5", "totals": "I8", "rows": "T1", "findings": "T1",
    "reason": "T4", "supersedes": "T4", "before": "T2",
}  # fmt: skip


def changed(value: Any) -> Any:
    """A byte of a field, changed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1)
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    if isinstance(value, Decimal):
        exponent, mantissa = cbor.decimal_parts(value)
        return Decimal((0, tuple(map(int, str(mantissa + 1))), exponent))
    if isinstance(value, Mapping):
        return {**value, "open": 1}
    return [*value[:-1], changed(value[-1])] if value else [b"\1" * 32]


@pytest.mark.parametrize("key", ["plan", "from", "to", "version", "complete", "entries", "batches", "capture", "uses",
                                 "totals", "rows", "findings", "rules", "v"])  # fmt: skip
def test_a_field_of_a_statement_is_named(key: str, honest: tuple[Recomputed, Rows], tmp_path: Path) -> None:
    """Signed by its owner, so that only recomputing tells."""
    site = Site(tmp_path)
    value = 17 if key in ("from", "to") else changed(honest[0].fields[key])
    site.lie = {"period": {key: value}}
    path = site.hour()
    result = recompute(site.files, trusted(), NOW, rows=[path])
    assert not result.equal
    assert RULES[key] in [difference.rule for difference in result.periods[0].differences]


def differences_of(honest: tuple[Recomputed, Rows], row: bytes, at: int) -> list[Difference]:
    """The differences of a statement of which one row is another."""
    period, rows = honest
    assert period.statement is not None
    others = [*rows.rows[:at], row, *rows.rows[at + 1 :]]
    return differences(period.fields, period.statement, Rows(rows.secret, others))


def test_each_byte_of_each_row_is_named(honest: tuple[Recomputed, Rows]) -> None:
    for at, row in enumerate(honest[1].rows):
        for place in range(len(row)):
            for bit in (1, 128):
                other = row[:place] + bytes([row[place] ^ bit]) + row[place + 1 :]
                (first, *_) = differences_of(honest, other, at)
                assert first.rule
                assert first.where.startswith(f"row {at}, station from ")


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("node", "T1"), ("from_ms", "I3"), ("to_ms", "I3"), ("status", "I3"), ("amount", "I3"), ("edges", "I2"),
        ("jumps", "I4"), ("reason", "P5"), ("retrospective", "P2"),
    ],
)  # fmt: skip
def test_a_field_of_a_row_is_named(field: str, rule: str, honest: tuple[Recomputed, Rows]) -> None:
    at = next(n for n, row in enumerate(honest[1].rows) if "jumps" in parse_row(row).facts)
    row = parse_row(honest[1].rows[at])
    facts: dict[str, Any] = {
        "edges": [[POINT, decimal(1), decimal(2), [b"h" * 32]]], "jumps": [], "reason": "below", "retrospective": True,
    }  # fmt: skip
    others: dict[str, Row] = {
        "node": row._replace(node="statiom"), "from_ms": row._replace(from_ms=row.from_ms + 1),
        "to_ms": row._replace(to_ms=row.to_ms + 1), "status": row._replace(status="measured"),
        "amount": row._replace(amount=(row.amount or 0) + 1),
    }  # fmt: skip
    other = others[field] if field in others else row._replace(facts={**row.facts, field: facts[field]})
    (first, *_) = differences_of(honest, row_bytes(other), at)
    assert (first.rule, first.where.partition(",")[0]) == (rule, f"row {at}")


ENTRY = {"of": "station", "from": 1, "to": 1, "values": {"final": 1, "initial": 1}, "unit": "Wh", "reason": "x",
         "user": "y", "kind": "closure"}  # fmt: skip


@pytest.mark.parametrize("key", ENTRY)
def test_an_entry_that_was_another_is_named(key: str, tmp_path: Path) -> None:
    """The statement is of one entry, the batches have another in its place."""
    site, other = Site(tmp_path / "a"), Site(tmp_path / "b")
    for one in (site, other):
        one.folder.mkdir()
    other.lie = {"entry": {key: ENTRY[key]} | ({"values": {}} if key == "kind" else {})}
    if key in ("from", "to"):
        other.lie = {"entry": {"from": 1, "to": 1}}
    site.hour()
    _swapped(site, other)


PLAN = {"plan": "mail", "v": 2, "from": 0, "civil": 420, "site": {"name": "x"}, "disclosure": "root"}


@pytest.mark.parametrize("key", PLAN)
def test_a_plan_that_was_another_is_named(key: str, tmp_path: Path) -> None:
    site, other = Site(tmp_path / "a"), Site(tmp_path / "b")
    for one in (site, other):
        one.folder.mkdir()
    other.lie = {"plan": {key: PLAN[key]}}
    site.hour()
    _swapped(site, other)


def _swapped(site: Site, other: Site) -> None:
    """The other site's batches with the statement of the first: its plan or its entry is not there."""
    signed = recompute(site.files, trusted(), NOW).periods[0].fields
    other.lie = {**other.lie, "period": {key: signed[key] for key in ("plan", "entries", "totals", "complete")}}
    try:
        other.hour()
    except Exception as error:
        pytest.fail(f"the other site cannot be made: {error}")
    (period,) = recompute(other.files, trusted(), NOW).periods
    assert {difference.rule for difference in period.differences} & {"P2", "P9"}


@pytest.mark.parametrize("name", [b"plan", b"entry", b"period"])
def test_a_byte_of_a_signed_event_is_named(name: bytes, tmp_path: Path) -> None:
    """In the file itself: the audit names the record, and nothing counts as recomputed."""
    site = Site(tmp_path)
    site.hour()
    for path in site.files:
        data = path.read_bytes()
        place = data.find(b"eevent" + bytes([0x60 + len(name)]) + name)
        if place >= 0:
            path.write_bytes(data[: place + 8] + bytes([data[place + 8] ^ 1]) + data[place + 9 :])
            break
    else:
        pytest.fail("no file has the event")
    result = recompute(site.files, trusted(), NOW)
    assert not result.equal
    assert result.audit.findings
