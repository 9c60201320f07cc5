"""Rows made again of the readings at their edges: wraps within and across, sums with signs, gaps (I2–I4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger_client.accounting.formats.rows import Row, decimal
from ledger_client.certificates.mcert.edges import stated_edges, stated_jumps
from ledger_client.certificates.mcert.steps import CertificateError
from ledger_client.certificates.mcert.verify import Proven, verify_certificate
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.accounted import POINT, Accounted
from tests.support.audit_batches import EVERY_MS
from tests.support.certificates.mcert import ISSUER, Certified, certified_plan, trust_of
from tests.support.evidence import METER, NOW

BEFORE_FIRST_EDGE, BEFORE_SECOND_EDGE = 6, 96
"""Polls before the register wraps between the two looks around an edge of the first quarter."""
OWN_USE = f"{METER}/own"


def verified(made: Certified, **changes: Any) -> Proven:
    file = made.file(made.registry.claim(ISSUER, made.issue(**changes)))
    return verify_certificate(file.encode(), trust_of(), NOW)


def refused(made: Certified) -> tuple[int, str, str]:
    with pytest.raises(CertificateError) as caught:
        verified(made, units=1)
    return caught.value.step, caught.value.rule, caught.value.detail


def wrapping_after(polls: int) -> Callable[[Accounted, int], None]:
    """The register goes over its largest number with the poll behind so many."""

    def polling(site: Accounted, count: int) -> None:
        site.polls(polls)
        site.polls(1, quality=int(Quality.ROLLOVER))
        site.polls(count - polls - 1)

    return polling


@pytest.mark.parametrize(
    ("polls", "jumps"), [(BEFORE_FIRST_EDGE, 1), (50, 1), (BEFORE_SECOND_EDGE, 0)], ids=["begin", "within", "end"]
)
def test_a_wrap_is_counted_where_its_later_look_lies(tmp_path: Path, polls: int, jumps: int) -> None:
    made = Certified.made(tmp_path, register=100_000 - polls - 1, polling=wrapping_after(polls), quarters=2)
    proven = verified(made)
    (edge,) = proven.edges
    assert (proven.row.amount, proven.row.status) == (90_000_000, "measured")
    assert len(stated_jumps(proven.row)) == jumps
    assert edge.end - edge.start + jumps * 100_000_000_000 == 90_000_000


def two_registers(site: Accounted, count: int) -> None:
    """Polls of the meter that answers with its own consumption, too: a tenth of what it counts."""
    gateway, chain = site.gateway, site.gateway.chains[METER]
    for _ in range(count):
        due_ms = gateway.clock.now_ms
        gateway.clock.passes(20)
        site.register += 1
        chain.since += 1
        values = (Value("energy", site.register, "kWh"), Value("own", site.register * 100, "Wh", offset_ms=5))
        site.rows.append(chain.add(Reading(gateway.clock.now_ms, values)))
        chain.due_ms = due_ms + 1
        gateway.clock.passes(EVERY_MS - 20)


def net_plan(from_ms: int) -> dict[str, Any]:
    """A station whose own consumption is taken off."""
    fields = certified_plan(from_ms, terms=[[1, POINT], [-1, OWN_USE]])
    fields["points"][OWN_USE] = {"kind": "counter", "unit": "Wh", "sample": EVERY_MS, "max": 200_000}
    return fields


def test_a_node_of_two_registers_is_their_difference(tmp_path: Path) -> None:
    proven = verified(Certified.made(tmp_path, net_plan, 1, polling=two_registers))
    assert [edge.point for edge in proven.edges] == [POINT, OWN_USE]
    assert proven.row.amount == 81_000_000
    gains = [edge.end - edge.start for edge in proven.edges]
    assert proven.row.amount == gains[0] - gains[1]


def exchanged(row: Row) -> Row:
    """The registers of both points in each other's place."""
    one, other = row.facts["edges"]
    return row._replace(facts=row.facts | {"edges": [[one[0], *other[1:3], one[3]], [other[0], *one[1:3], other[3]]]})


def one_point(row: Row) -> Row:
    return row._replace(facts=row.facts | {"edges": row.facts["edges"][:1]})


@pytest.mark.parametrize(("lie", "rule"), [(exchanged, "I2"), (one_point, "I3")])
def test_each_register_is_proven_by_itself(tmp_path: Path, lie: Callable[[Row], Row], rule: str) -> None:
    made = Certified.made(tmp_path, net_plan, 1, polling=two_registers, lie=lie)
    assert refused(made)[:2] == (8, rule)


def silent_at_the_second_edge(site: Accounted, count: int) -> None:
    """Nine polls are not answered, so that the gap there is longer than an edge may have."""
    site.polls(92)
    site.polls(9, answered=False)
    site.polls(count - 101)


def test_looks_too_far_from_an_edge_tell_no_register(tmp_path: Path) -> None:
    """What the statement says of the first quarter there is a lie: the row is of two quarters."""
    honest = Certified.made(tmp_path, quarters=3, polling=silent_at_the_second_edge)
    assert honest.row(0).status == "unallocated"

    def first_quarter(row: Row) -> Row:
        edge = stated_edges(row)[0]
        half = [POINT, decimal(edge.start), decimal(edge.start + 90_000_000), list(edge.looks)]
        return Row(row.node, row.from_ms, row.from_ms + 900_000, "measured", 90_000_000, {"edges": [half]})

    folder = tmp_path / "liar"
    folder.mkdir()
    liar = Certified.made(
        folder, quarters=3, polling=silent_at_the_second_edge,
        lie=lambda row: first_quarter(row) if row.status == "unallocated" else row,
    )  # fmt: skip
    step, rule, detail = refused(liar)
    assert (step, rule) == (8, "I2")
    assert "tell no register" in detail
