"""Plans that are not signed, and what was signed before the rules refused it: that stops nothing (H7, F1, P6)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting.plans.exchange import planned_counters
from gateway.accounting.plans.history import history_of
from gateway.accounting.plans.signing import demand_alone, encoded, event_of
from gateway.errors import Declined, GatewayError
from gateway.records import GATEWAY
from ledger_client.accounting import profiles
from ledger_client.formats.record import Event
from tests.support.stated import METER, POINT, QUARTER_MS, Site, plan_fields

FACTOR = {
    "series": "grid", "id": "own-2026", "kind": "average", "value": "0.5", "unit": "kg/kWh", "region": "CN",
    "vintage": 2026, "published": "2026-01-01", "document": "test", "confirmed": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("also", "rule"),
    [
        ({"factors": [{**FACTOR, "value": "-0.5"}]}, "F1"),
        ({"factors": [{**FACTOR, "id": "grid-2026"}]}, "F1"),
        ({"profiles": {"EU-MRR": {**profiles.load("EU-MRR"), "share": Decimal("0.1")}}}, "H7"),
    ],
)
def test_a_plan_with_figures_that_are_not_its_own_is_not_signed(also: Mapping[str, Any], rule: str) -> None:
    fields = plan_fields(0, **also)
    fields["profiles"] |= plan_fields(0)["profiles"]
    with pytest.raises(GatewayError, match=rule):
        event_of("plan", encoded(fields))


def test_what_was_signed_before_the_rules_refused_it_stops_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.publish()
    site.event(GATEWAY, "plan", **plan_fields(site.from_ms, v=2, factors=[{**FACTOR, "value": "-0.5"}]))
    site.event(GATEWAY, "entry", kind="nothing")
    altered = {"EU-MRR": {**profiles.load("EU-MRR"), "share": Decimal("0.1")}, **plan_fields(0)["profiles"]}
    site.event(GATEWAY, "plan", **plan_fields(site.from_ms, plan="other", profiles=altered))
    site.stop()
    store = site.store()
    try:
        history = history_of(store)
        assert [(signed.plan.name, signed.plan.version) for signed in history.plans] == [("main", 1), ("other", 1)]
        assert planned_counters(store, METER) == {POINT}
    finally:
        store.close()


@pytest.mark.parametrize(
    ("closed_quarter", "also", "free"),
    [
        (None, {}, False), (4, {}, True), (5, {}, False), (None, {"points": {}, "nodes": {}}, True),
        (None, {"nodes": {}}, False),
    ],
)  # fmt: skip
def test_a_plan_with_a_point_of_another_is_not_signed(
    tmp_path: Path, closed_quarter: int | None, also: Mapping[str, Any], free: bool
) -> None:
    """The new plan begins with the fourth quarter of ``main``; ``main`` itself may be published again at any time."""
    site = Site(tmp_path / "site")
    site.publish()
    begin_ms = site.from_ms + 4 * QUARTER_MS
    if closed_quarter is not None:
        moment = site.from_ms + closed_quarter * QUARTER_MS
        closure = {"kind": "closure", "of": "station", "from": moment, "to": moment, "values": {}}
        site.event(GATEWAY, "entry", **closure, reason="r", user="u")
    site.stop()
    store = site.store()
    try:
        again = Event("plan", plan_fields(site.from_ms, v=2))
        other = Event("plan", plan_fields(begin_ms, plan="other", **also))
        demand_alone(store, again, begin_ms)
        if free:
            demand_alone(store, other, begin_ms)
        else:
            with pytest.raises(Declined) as declined:
                demand_alone(store, other, begin_ms)
            assert declined.value.message is not None
            assert declined.value.message.facts == {"point": POINT, "other": "main"}
    finally:
        store.close()
