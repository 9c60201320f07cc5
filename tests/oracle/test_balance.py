"""Random parties through both implementations of a balance, and through duckdb: the same figures, exactly."""

from __future__ import annotations

import csv
import io
import random
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

import duckdb
import pytest

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.plan import HOUR_MS
from ledger_client.accounting.formats.rows import Row
from ledger_client.balance.citing import totals
from ledger_client.balance.given import Chosen, GivenOffset, RetiredSlice, Source, Terms
from ledger_client.balance.reckoning import balance
from ledger_client.balance.result import NOT_OFFSET, Result
from ledger_client.balance.writing import hours_csv
from tests.oracle.balance import Asked, Load, Retired
from tests.oracle.balance import balance as oracle
from tests.support.certificates import balanced as b

ZONES: Final = ("CN-ZJ", "CN-JS", "CN-SH", None)
QUARTER_MS: Final = HOUR_MS // 4
PARTIES: Final = 100


class Party:
    """A random party of two gateways, one by the hour and one by quarters of it, around the end of a month."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.from_ms = b.BEGIN_MS - self.dice.randint(2, 40) * HOUR_MS
        self.to_ms = b.BEGIN_MS + self.dice.randint(10, 40) * HOUR_MS
        self.waste = Chosen(
            b.factor("device", self.dice.choice(["0.0417", "417", "0.9"]), "CN-ZJ", unit="kg/MWh"), False
        )
        self.terms = b.terms(
            from_ms=self.from_ms, to_ms=self.to_ms, deliverable=("CN-JS",),
            average=Chosen(b.factor("average", self.dice.choice(["0.5306", "0.3333", "0"])), False),
            residual=Chosen(b.factor("residual", self.dice.choice(["0.5943", "0.00041", "1"])), False),
        )  # fmt: skip
        hourly, quarterly = self._rows(HOUR_MS), self._rows(QUARTER_MS)
        coal = Row("coal", self.from_ms, self.to_ms, "measured", self.dice.choice([0, 1, 3_141_592]), {})
        whole = self.from_ms, self.to_ms
        self.sources = [
            b.source([*hourly, coal], *whole, emissions=["coal"]),
            b.source(quarterly, *whole, gateway="gw-2", interval=900),
        ]
        self.slices = [one for _ in range(self.dice.randint(0, 40)) for one in self._certificate()]
        self.scope_1 = coal.amount or 0
        size = self.dice.choice([0, 1, 5, 4000])
        self.offsets = [b.offset(10, 9 + size)] if size else []

    def _rows(self, interval_ms: int) -> list[Row]:
        """Hours of load, some of them not known, and others without any."""
        rows, at, most = list[Row](), self.from_ms, self.dice.choice([200, 1000, 5000])
        while (at := at + self.dice.randint(0, 4) * interval_ms) < self.to_ms - 9 * interval_ms:
            long = self.dice.random() < 0.1
            end = at + (self.dice.randint(2, 8) if long else 1) * interval_ms
            status = "unallocated" if long else self.dice.choice(["measured", "split", "unknown"])
            rows.append(Row("load", at, end, status, self.dice.randint(0, most) ** 2, {}))
            at = end
        return rows

    def _certificate(self) -> list[RetiredSlice]:
        """One or two slices of a certificate of an hour or a quarter."""
        number = self.dice.randrange((self.to_ms - self.from_ms) // QUARTER_MS)
        from_ms, length = self.from_ms + number * QUARTER_MS, QUARTER_MS
        if number % 4 == 0:
            length = self.dice.choice([QUARTER_MS, HOUR_MS])
        fields = {
            "cert": self.dice.randbytes(32), "from_ms": from_ms, "to_ms": from_ms + length,
            "zone": self.dice.choice(ZONES), "use_from_ms": self.from_ms, "use_to_ms": self.to_ms,
            "factor": self.dice.choice([None, None, self.waste]),
        }  # fmt: skip
        first, second = self.dice.randint(1, 4000), self.dice.randint(1, 9000)
        several = [(0, first), (first, first + second)][: self.dice.randint(1, 2)]
        return [b.retired(0, end - begin, begin, **fields) for begin, end in several]

    def product(self) -> Result:
        return balance(self.terms, self.sources, self.slices, self.offsets)

    def asked(self) -> Asked:
        terms: Terms = self.terms
        offsets: list[GivenOffset] = self.offsets
        average, residual = (Fraction(one.factor.value) / 1000 for one in (terms.average, terms.residual))
        kg = sum((one.stated.offset.last - one.stated.offset.first + 1 for one in offsets), 0)
        zones = frozenset({terms.zone, *terms.deliverable})
        return Asked(
            self.from_ms,
            self.to_ms,
            terms.civil_min,
            zones,
            average,
            residual,
            Fraction(self.scope_1, 1000),
            Fraction(kg),
        )

    def loads(self) -> list[Load]:
        return [
            Load(row.from_ms, row.to_ms, Fraction(row.amount or 0, 1000), row.status != "unallocated")
            for source in self.sources
            for row in self._loads_of(source)
        ]

    @staticmethod
    def _loads_of(source: Source) -> list[Row]:
        return [row for row in source.stated.rows if row.node == "load"]

    def retired(self) -> list[Retired]:
        waste = Fraction(self.waste.factor.value) / 1_000_000
        return [
            Retired(one.cert, *one.part, one.from_ms, one.zone, Fraction(0) if one.factor is None else waste)
            for one in self.slices
        ]


@pytest.mark.parametrize("seed", range(PARTIES))
def test_both_implementations_say_the_same(seed: int) -> None:
    party = Party(seed)
    made = party.product()
    lines, figures, nothing_left = oracle(party.asked(), party.loads(), party.retired())

    table = list(csv.reader(io.StringIO(hours_csv(made).decode())))
    columns = [0, 3, 4, 5, 6, 7, 8, 9]
    ours = [[line[column] for column in columns] for line in table[1:]]
    theirs = [[utc_text(line[0]), line[1], *(f"{figure:f}" for figure in line[2:])] for line in lines]
    assert ours[: len(made.hours)] == theirs[: len(made.hours)]
    assert sorted(ours) == sorted(theirs)
    assert {key: f"{figure:f}" for key, figure in totals(made).items()} == {k: f"{v:.3f}" for k, v in figures.items()}
    assert (NOT_OFFSET not in {finding.code for finding in made.findings}) is nothing_left


def test_hours_months_and_the_year_differ_somewhere() -> None:
    """The comparison would prove little if certificates always fitted the hours."""
    made = [Party(seed).product() for seed in range(PARTIES)]
    assert sum(one.hourly.covered_milli < one.monthly.covered_milli < one.yearly.covered_milli for one in made) > 5
    assert sum(one.hourly.covered_milli > 0 for one in made) > 50
    assert {one.neutralised for one in made} == {True, False}


SUMS: Final = """
    SELECT sum(load_wh), sum(retired_wh), sum(covered_wh), sum(uncovered_wh), sum(location_kg), sum(market_kg),
           count(*) FILTER (kind = 'hour' AND covered_wh <> least(load_wh, retired_wh)),
           count(*) FILTER (kind <> 'hour' AND covered_wh <> 0)
    FROM read_csv(?, types = {'load_wh': 'DECIMAL(20,3)', 'retired_wh': 'DECIMAL(20,3)', 'covered_wh': 'DECIMAL(20,3)',
                              'uncovered_wh': 'DECIMAL(20,3)', 'location_kg': 'DECIMAL(20,3)',
                              'market_kg': 'DECIMAL(20,3)'})
"""


def test_duckdb_covers_each_hour_by_the_lesser_and_finds_the_totals(tmp_path: Path) -> None:
    for seed in (3, 5, 6):
        made = Party(seed).product()
        path = tmp_path / "hours.csv"
        path.write_bytes(hours_csv(made))
        *sums, wrong, covered_loose = duckdb.execute(SUMS, [str(path)]).fetchone() or ()
        figures = totals(made)
        wanted = ("load_wh", "retired_wh", "covered_wh", "uncovered_wh", "location_kg", "market_kg")
        assert [Decimal(one) for one in sums] == [figures[key] for key in wanted]
        assert (wrong, covered_loose) == (0, 0)
        assert 0 < figures["covered_wh"] < figures["load_wh"]
