"""Random parties through both implementations of a balance, and through duckdb: the same figures, exactly."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.plan import HOUR_MS
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row
from ledger_client.balance.citing import totals
from ledger_client.balance.given import Chosen, Excluded, GivenOffset, RetiredSlice, Source, Terms
from ledger_client.balance.nodes import excluded
from ledger_client.balance.reckoning import balance
from ledger_client.balance.result import NOT_OFFSET, Result, Review
from ledger_client.balance.writing import hours_csv
from ledger_client.claims.attestation import Opinion, unmodified
from ledger_client.claims.claim import Attest
from tests.oracle.balance import Asked, Load, Retired, Stated, left_out, neutralised
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
            average=Chosen(b.factor("average", self.dice.choice(["0.5306", "0.3333", "0.0000001"])), False),
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
        return b.reviewed(balance(self.terms, self.sources, self.slices, self.offsets))

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


class Site:
    """A statement of random nodes, of which a party names and excludes some."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        points = [f"m{n}/energy" for n in range(4)]
        self.nodes: dict[str, Any] = {}
        for n in range(dice.randint(1, 5)):
            role = dice.choice(["consumption", "import", "auxiliary", "charge", "discharge"])
            terms = [[1, point] for point in dice.sample(points, dice.randint(1, 2))]
            also = {"zone": dice.choice(["CN-ZJ", "CN-JS"])} if dice.random() < 0.3 else {}
            self.nodes["load" if n == 0 else f"load-{n}"] = {
                "role": role,
                "terms": terms,
                "profile": "own-test",
                **also,
            }
        for name in ("stack", "again")[: dice.randint(0, 2)]:
            self.nodes[name] = b.STACK
        for n in range(dice.randint(0, 3)):
            compare = (
                {"compare": dice.choice(["stack", "again"])} if "again" in self.nodes and dice.random() < 0.8 else {}
            )
            self.nodes[f"fuel-{n}"] = b.COAL | {"terms": [[1, f"scale-{dice.randint(0, 2)}/mass"]]} | compare
        self.amounts = {name: dice.choice([-5, 0, 40, 100, 105, 150, 1000]) for name in self.nodes}
        names = [name for name, node in self.nodes.items() if node["role"] != "discharge"]
        dice.shuffle(names)
        few = dice.randint(0, len(names))
        self.named, self.excluded = frozenset(names[:few]), frozenset(names[few : dice.randint(few, len(names))])

    def product(self) -> set[str]:
        made = b.source([], nodes=self.nodes, loads=())
        rows = [
            Row(name, b.BEGIN_MS, b.BEGIN_MS + HOUR_MS, "measured", n * 1000, {}) for name, n in self.amounts.items()
        ]
        stated = replace(made.stated, rows=tuple(rows))
        left = tuple(Excluded("gw", "main", name, "why") for name in self.excluded)
        try:
            excluded(b.terms(exclusions=left), [Source("gw", stated, tuple(self.named), tuple(self.named))])
        except AccountingError as error:
            return {part.partition(" (")[0] for part in error.problem.partition("exclusions: ")[2].split("), ")}
        return set()

    def oracle(self) -> set[str]:
        nodes = [
            Stated(
                name, node["role"], str(node["inputs"]["c"] if "inputs" in node else sorted(map(str, node["terms"]))),
                node.get("zone"), node.get("compare"), Fraction(self.amounts[name]),
            )
            for name, node in self.nodes.items()
        ]  # fmt: skip
        return left_out(b.ZONE, nodes, self.named, self.excluded)


def test_both_find_the_loads_and_sources_that_are_left_out() -> None:
    """B6, of 500 random plans, of which some leave out nothing, and others loads, measured nodes, fuels."""
    found = [(site.product(), site.oracle()) for site in map(Site, range(500))]
    assert [ours for ours, _ in found] == [theirs for _, theirs in found]
    kinds = {name.partition("-")[0] for ours, _ in found for name in ours}
    assert kinds == {"load", "stack", "again", "fuel"}
    assert 50 < sum(not ours for ours, _ in found) < 450


def test_both_say_yes_to_the_same_balances() -> None:
    """B7, of a thousand random choices and verdicts."""
    words = ("unmodified", "unmodified", "modified", "adverse", "positive")
    found = []
    for seed in range(1000):
        dice = random.Random(seed)
        brought, fixed, provisional, old, burning, zero, open_ = (dice.random() < 0.12 for _ in range(7))
        average = Chosen(b.factor("average", "0.5"), provisional, unpublished=brought)
        terms = b.terms(
            average=average, residual=Chosen(b.factor("residual", "0.6"), False, fixed=fixed),
            boundary="" if open_ else "the works",
        )  # fmt: skip
        device = Chosen(b.factor("device", "0"), False, unpublished=True) if zero else None
        slices = [b.retired(0, 1000, factor=device, source="coal" if burning else "water")]
        offsets = [b.offset(1, 1, vintage=2015 if old else 2016)]
        load = dice.choice([1_000_000, 1_000_001, 9_000_000])
        verdicts = [(dice.choice("abc"), at, dice.choice(words)) for at in range(dice.randint(0, 4))]
        policy = dice.choice([0, 0, 1, 2])
        opinions = [Opinion(name, at, at, Attest(bytes(32), "limited", word, bytes(32))) for name, at, word in verdicts]
        made = balance(terms, [b.source([b.hour(0, load)])], slices, offsets)
        ours = made.reviewed(Review(unmodified(opinions), (), max(1, policy))).neutralised
        chosen = (brought, fixed, provisional, old, burning and not zero, zero)
        left = Fraction(max(0, load - 1_000_000) * 6, 10_000_000) <= 1
        found.append((ours, neutralised(left, not open_, chosen, verdicts, policy)))
    assert [ours for ours, _ in found] == [theirs for _, theirs in found]
    assert 100 < sum(ours for ours, _ in found) < 900


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
