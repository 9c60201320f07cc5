"""Balance of a party: hours, months and the period beside each other, both methods, what is left (B1–B4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ledger_client.accounting.formats.plan import HOUR_MS
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row
from ledger_client.balance import result
from ledger_client.balance.given import Chosen, GivenOffset, RetiredSlice, Source, Terms
from ledger_client.balance.reckoning import balance as reckon
from tests.support.certificates import balanced as b
from tests.support.certificates.balanced import factor, hour, offset, retired, source, terms


def balance(
    asked: Terms, sources: Sequence[Source], slices: Sequence[RetiredSlice], offsets: Sequence[GivenOffset]
) -> result.Result:
    """With statements that are recomputed, and no verifier."""
    return b.reviewed(reckon(asked, sources, slices, offsets))


def codes(found: result.Result) -> list[str]:
    return [finding.code for finding in found.findings]


def test_a_surplus_at_noon_covers_no_evening() -> None:
    """12 kWh at noon, 10 kWh of load then and 10 in the evening: the month covers 12, the hours 10."""
    found = balance(terms(), [source([hour(12, 10_000_000), hour(20, 10_000_000)])], [retired(12, 12_000)], [])

    noon, evening = found.hours
    assert (noon.covered_milli, evening.covered_milli) == (10_000_000, 0)
    assert (noon.location_g, noon.market_g, evening.location_g, evening.market_g) == (5000, 0, 5000, 6000)
    assert found.hourly == (10_000_000, 10_000_000, 6000)
    assert found.monthly == (12_000_000, 8_000_000, 4800)
    assert found.yearly == found.monthly
    assert (found.location_g, found.market_g, found.uncertified_g) == (10_000, 6000, 12_000)
    assert codes(found) == [result.SURPLUS, result.NOT_OFFSET]


def test_unallocated_load_is_uncovered() -> None:
    """B2: certificates of its hours do not cover it; the month's matching takes the month's whole load."""
    found = balance(
        terms(), [source([hour(0, 2_000_500), hour(1, 7_000_000, "unallocated", 3)])], [retired(2, 5000)], []
    )

    assert found.hourly.covered_milli == 0
    assert found.hourly.uncovered_milli == found.load_milli == 9_000_500
    assert found.unallocated_milli == 7_000_000
    assert found.monthly.covered_milli == 5_000_000
    assert [stretch.row.place for stretch in found.stretches] == [1]
    assert result.UNALLOCATED in codes(found)


def test_a_device_with_a_factor_is_not_free() -> None:
    """B3: covered energy has the certificate's factor; of several the highest counts first, whatever is left over."""
    waste = Chosen(factor("device", "0.1", vintage=2025), False)
    slices = [retired(3, 1000), retired(3, 1000, cert=b"\x01" * 32, factor=waste)]
    found = balance(terms(), [source([hour(3, 1_500_000)])], slices, [])

    assert found.market_g == 100
    assert [(one.covered_milli, one.factor) for one in found.hours[0].coverings] == [
        (1_000_000, waste.factor.id),
        (500_000, None),
    ]
    assert found.devices == (waste.factor,)


def test_only_zones_that_deliver_cover() -> None:
    slices = [retired(1, 400, zone="CN-JS"), retired(2, 400, zone="CN-SH"), retired(3, 400, zone=None)]
    rows = [hour(n, 1_000_000) for n in (1, 2, 3)]
    found = balance(terms(deliverable=("CN-JS",)), [source(rows)], slices, [])

    assert [one.covered_milli for one in found.hours] == [400_000, 0, 0]
    assert found.retired_milli == 400_000
    assert [one.number for one in found.findings if one.code == result.NOT_DELIVERABLE] == [2]
    assert len(found.slices) == 3


def test_what_is_left_is_offset_to_the_last_wh() -> None:
    """B4: one Wh of 0.4 g is written as 0 g, and is still not offset; with a kilogram more it is."""
    cheap = Chosen(factor("residual", "0.4"), False)
    rows = [hour(5, 1_001_000)]
    found = balance(terms(residual=cheap), [source(rows)], [retired(5, 1000)], [])
    assert (found.market_g, found.residual_g, found.neutralised) == (0, 0, False)
    assert codes(found) == [result.NOT_OFFSET]

    whole = balance(terms(residual=cheap), [source(rows)], [retired(5, 1000)], [offset(7, 7)])
    assert (whole.residual_g, whole.neutralised, codes(whole)) == (0, True, [result.SURPLUS_OFFSETS])


def test_scope_1_and_the_waterfall() -> None:
    coal = Row("coal", b.BEGIN_MS, b.BEGIN_MS + b.MONTH_MS, "measured", 9_000_000, {"method": "fuel"})
    found = balance(
        terms(base=result.Base(0, 1, 20_000_000, bytes(32))),
        [source([coal, hour(9, 4_000_000)], emissions=["coal"])],
        [retired(9, 1000)],
        [offset(1, 5, each_kg=1000)],
    )

    assert found.waterfall == (
        ("scope-1", 9_000_000), ("scope-2", 2400), ("certificates", -600), ("offsets", -5_000_000),
        ("residual", 4_001_800),
    )  # fmt: skip
    assert sum(mass for step, mass in found.waterfall if step != "residual") == found.residual_g
    assert found.reductions_g == 20_000_000 - 9_000_000 - 2000


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (result.NO_BOUNDARY, {"boundary": ""}),
        (result.NO_EXCLUSIONS, {"exclusions": None}),
        (result.PROVISIONAL_FACTOR, {"average": Chosen(factor("average", "0.5", vintage=2025), True)}),
    ],
)
def test_neutralised_only_if_all_of_it_is_named_and_final(code: str, change: dict[str, object]) -> None:
    given = [source([hour(0, 1_000_000)])], [retired(0, 1000)], [offset(1, 1)]
    assert balance(terms(), *given).neutralised

    found = balance(terms(**change), *given)
    assert code in codes(found)
    assert not found.neutralised
    assert b.reviewed(found, "auditor").neutralised is (code in result.ATTESTABLE)
    assert not reckon(terms(), *given).neutralised


def test_an_incomplete_statement_is_shown_on_demand_and_never_neutralised() -> None:
    partly = [source([hour(0, 1_000_000)], complete=False, to_ms=b.BEGIN_MS + 24 * HOUR_MS)]
    found = balance(terms(partial=True), partly, [retired(0, 1000)], [offset(1, 1)])

    assert codes(found) == [result.INCOMPLETE, result.GAP, result.SURPLUS_OFFSETS]
    assert not found.neutralised
    with pytest.raises(AccountingError, match="is not complete"):
        balance(terms(), partly, [], [])


Call = Callable[[], result.Result]
LOAD = {"role": "consumption", "terms": [[1, "other/energy"]], "profile": "own-test"}
REFUSED: dict[str, tuple[str, str, Call]] = {
    "a slice twice": (
        "B1", "unit 40 of certificate",
        lambda: balance(terms(), [source([])], [retired(0, 50), retired(0, 50, begin=40)], []),
    ),
    "another party's": (
        "B1", "retired by smith, not by works",
        lambda: balance(terms(), [source([])], [retired(0, 1, party="smith")], []),
    ),
    "for somebody else": (
        "Z3", "for somebody whose name",
        lambda: balance(terms(), [source([])], [retired(0, 1, beneficiary=bytes(32), salt=b"s")], []),
    ),
    "for another time": (
        "B1", "and retired for",
        lambda: balance(terms(), [source([])], [retired(0, 1, use_from_ms=b.BEGIN_MS + HOUR_MS)], []),
    ),
    "of another period": (
        "B1", "for another period than the balance's",
        lambda: balance(terms(), [source([])], [retired(-1, 1, use_from_ms=0)], []),
    ),
    "a factor of another region": (
        "F2", "is of region CN-GD, not of CN-ZJ",
        lambda: balance(terms(average=Chosen(factor("average", "0.4", "CN-GD"), False)), [source([])], [], []),
    ),
    "residual by an average": (
        "F3", "is of kind average",
        lambda: balance(terms(residual=Chosen(factor("average", "0.5"), False)), [source([])], [], []),
    ),
    "a load that is not complete": (
        "T7", "is not complete", lambda: balance(terms(), [source([], complete=False)], [], []),
    ),
    "time that no statement is of": (
        "T2", "no statement of plan main",
        lambda: balance(terms(), [source([], to_ms=b.BEGIN_MS + HOUR_MS)], [], []),
    ),
    "a statement twice": ("B1", "is given twice", lambda: balance(terms(), [source([]), source([])], [], [])),
    "a statement of another time": (
        "B4", "not within the period", lambda: balance(terms(), [source([], b.BEGIN_MS - HOUR_MS)], [], []),
    ),
    "serials twice": (
        "C4", "serials from 5 on of P-1", lambda: balance(terms(), [source([])], [], [offset(1, 5), offset(5, 9)]),
    ),
    "an offset of a certified device": (
        "C4", "has certificates", lambda: balance(terms(), [source([])], [retired(0, 1)], [offset(1, 5, device="dev")]),
    ),
    "a load that is none": ("B1", "coal is no load", lambda: balance(terms(), [source([], loads=["coal"])], [], [])),
    "an import beside a consumption": (
        "B1", "count energy twice",
        lambda: balance(terms(), [source([], loads=["load", "use"], nodes={"use": LOAD})], [], []),
    ),
    "a load of another zone": (
        "B1", "is in zone CN-JS",
        lambda: balance(terms(), [source([], loads=["use"], nodes={"use": {**LOAD, "zone": "CN-JS"}})], [], []),
    ),
    "a load below 0": ("P5", "is below 0", lambda: balance(terms(), [source([hour(0, -1)])], [], [])),
    "two years": (
        "F2", "two civil years",
        lambda: balance(terms(to_ms=b.BEGIN_MS + 100 * 24 * HOUR_MS), [source([])], [], []),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_belong_to_a_balance_is_refused(name: str) -> None:
    rule, problem, call = REFUSED[name]
    with pytest.raises(AccountingError) as refused:
        call()
    assert refused.value.rule == rule
    assert problem in refused.value.problem
    assert refused.value.way_out


def test_both_methods_of_a_published_example() -> None:
    """A year by both methods of the GHG Protocol's Scope 2 Guidance (2015), chapter 6, as tools.gera.services works it:
    1,000,000 kWh at 0.20 kg/kWh are 200 t; 600,000 kWh of certificates at 0 and a residual mix of 0.45 leave 180 t."""
    year = {"from_ms": b.BEGIN_MS - 273 * 24 * HOUR_MS, "to_ms": b.BEGIN_MS + 92 * 24 * HOUR_MS}
    average, residual = (
        Chosen(factor(kind, value), False) for kind, value in (("average", "0.20"), ("residual", "0.45"))
    )
    load, certificate = hour(7, 1_000_000_000_000), retired(7, 600_000_000)
    found = balance(
        terms(average=average, residual=residual, **year), [source([load], *year.values())], [certificate], []
    )

    assert (found.location_g, found.market_g) == (200_000_000, 180_000_000)


CHOSEN: dict[str, tuple[str, Callable[[], result.Result]]] = {
    "an own factor": (
        result.OWN_FACTOR,
        lambda: _neutral(average=Chosen(factor("average", "0.5"), False, unpublished=True)),
    ),
    "a factor by its id": (
        result.FIXED_FACTOR,
        lambda: _neutral(residual=Chosen(factor("residual", "0.6"), False, fixed=True)),
    ),
    "an own factor of a device that is 0": (
        result.OWN_FACTOR,
        lambda: _neutral([retired(0, 1000, factor=Chosen(factor("device", "0"), False, unpublished=True))]),
    ),
    "coal without a factor": (result.NO_DEVICE_FACTOR, lambda: _neutral([retired(0, 1000, source="coal")])),
    "a source that nobody knows": (result.NO_DEVICE_FACTOR, lambda: _neutral([retired(0, 1000, source="watеr")])),
    "an old offset": (result.OLD_OFFSETS, lambda: _neutral(offsets=[offset(1, 1, vintage=2015)])),
}


def _neutral(
    slices: Sequence[RetiredSlice] = (), offsets: Sequence[GivenOffset] = (), **changed: object
) -> result.Result:
    """Nothing is left of it."""
    return balance(terms(**changed), [source([hour(0, 1_000_000)])], slices or [retired(0, 1000)], offsets)


@pytest.mark.parametrize("name", CHOSEN)
def test_what_the_party_chose_waits_for_verifiers(name: str) -> None:
    """B7: it stands in the way until as many verifiers attest the balance as it needs."""
    code, made = CHOSEN[name]
    found = made()
    assert (found.residual_g, code in codes(found), found.neutralised) == (0, True, False)
    assert b.reviewed(found, "auditor").neutralised
    assert not b.reviewed(found, "auditor", needed=2).neutralised


def test_what_makes_no_figure_prettier_stands_in_no_way() -> None:
    """A device with a factor above 0, and offsets of ten years."""
    waste = Chosen(factor("device", "0.1"), False, unpublished=True)
    slices, offsets = [retired(0, 1000, source="waste", factor=waste)], [offset(1, 1, vintage=2016)]
    found = _neutral(slices, offsets)
    assert found.neutralised
    assert not result.ATTESTABLE.intersection(codes(found))


def test_nothing_certified_takes_nothing_away() -> None:
    """Ten hours of 1 Wh are 10 × 1 g, not 6 g once: without certificates the waterfall has none of theirs."""
    found = balance(terms(), [source([hour(n, 1000) for n in range(10)])], [], [])
    assert dict(found.waterfall)["certificates"] == 0
    assert found.uncertified_g == found.market_g == 10
