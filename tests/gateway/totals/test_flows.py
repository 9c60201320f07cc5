"""Flows of a site: each role × which way power is × reversed, what is missing, and consumption that nobody measures."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import pytest

from gateway.accounting.plans.plan_draft import _ROLES as NODE_ROLES
from gateway.accounting.plans.plan_draft import _node, _of
from gateway.commissioning.record.words import Words as RecordWords
from gateway.config.bus import ROLES, Meter
from gateway.dashboard.render.html import HTML
from gateway.devices.points import Profile
from gateway.devices.profile import load_profile, parse_profile
from gateway.history.counted import Figure
from gateway.totals.energy import energy_part
from gateway.totals.flows import Flow, Lack, Part, flow, with_consumption
from gateway.totals.power import Newest, power_flows
from gateway.totals.sources import Source, source
from ledger_client.formats.senml import Quality, Reading, Value

NOW_MS = 1_800_000_000_000
HEAD = 'format = 2\nvendor = "V"\ndevice = "D"\nsource = "S"\n[defaults]\nfc = 3\nword_order = "big"\n[points]\n'
POWER = 'active_power_total = { address = 0, type = "int32", unit = "W" }\n'
BOTH = (
    'active_power_import = { address = 2, type = "uint32", unit = "kW" }\n'
    'active_power_export = { address = 4, type = "uint32", unit = "kW" }\n'
)
COUNTERS = (
    'energy_import = { address = 6, type = "uint32", unit = "kWh", kind = "counter" }\n'
    'energy_export_total = { address = 8, type = "uint32", unit = "kWh", kind = "counter" }\n'
)
OTHERS = (
    'pcc_active_power = { address = 10, type = "int32", unit = "W" }\n'
    'grid_meter_active_power = { address = 12, type = "int32", unit = "W" }\n'
    'grid_energy_import = { address = 14, type = "uint32", unit = "kWh", kind = "counter" }\n'
    'energy_yield_total = { address = 16, type = "uint32", unit = "kWh", kind = "counter" }\n'
)


def made(points: str, positive: str = "") -> Profile:
    head = f'positive = "{positive}"\n' + HEAD if positive else HEAD
    return parse_profile(head + points, "mine", "mine.toml")


def meter(role: str, name: str = "m1", **keys: Any) -> Meter:
    return Meter.model_validate({"name": name, "profile": "mine", "address": 1, "role": role, **keys})


def found(role: str, profile: Profile, **keys: Any) -> Source:
    one = source(meter(role, **keys), profile)
    assert one is not None
    return one


def now(one: Source, *values: Value, age_ms: int = 0) -> dict[str, Flow]:
    return power_flows({one.meter: one}, {one.meter: Newest(Reading(NOW_MS - age_ms, values))}, 1, NOW_MS)


# By hand, for a reading of +3000 W: (which way it says positive is, hangs the wrong way round) → what is taken, given.
BY_HAND = {
    ("import", False): (3000, 0),
    ("import", True): (0, 3000),
    ("export", False): (0, 3000),
    ("export", True): (3000, 0),
}
SHOWN: dict[str, dict[str, int | None]] = {  # by role, which of (taken, given) each of its flows is
    "generation": {"generation": 1},
    "consumption": {"consumption": 0},
    "grid": {"import": 0, "export": 1, "consumption": None},
    "storage": {"charge": 0, "discharge": 1},
    "emission": {},
    "auxiliary": {},
}


@pytest.mark.parametrize(("role", "positive", "reversed_"), [*product(ROLES, ("import", "export"), (False, True))])
def test_each_role_which_way_power_is_and_reversed(role: str, positive: str, reversed_: bool) -> None:
    profile = made(POWER + COUNTERS, positive)
    one = source(meter(role, reversed=reversed_), profile)
    if not SHOWN[role]:
        assert one is None
        return
    assert one is not None
    for sign in (1, -1):
        taken, given = BY_HAND[positive, reversed_]
        pair = (taken, given) if sign > 0 else (given, taken)
        flows = now(one, Value("active_power_total", 3000 * sign, "W"))
        expected = {
            name: pair[place] if place is not None else pair[0] - pair[1] for name, place in SHOWN[role].items()
        }
        assert {name: flow.amount for name, flow in flows.items()} == expected
        assert all(flow.complete for flow in flows.values())
        assert [name for name, flow in flows.items() if flow.computed] == ["consumption"] * (role == "grid")
    counts = {"import": "energy_import", "export": "energy_export_total"}
    if reversed_:
        counts = {"import": "energy_export_total", "export": "energy_import"}
    assert {way: of.names for way, of in one.counters.items()} == {way: (name,) for way, name in counts.items()}


def test_two_generators_that_show_opposite_signs_add_up() -> None:
    meters = {
        "main": ("eastron-sdm630", "active_power_total", -24_300),
        "pv": ("sunspec-inverter", "active_power", 25_000),
    }
    sources = {n: source(meter("generation", n), load_profile(profile)) for n, (profile, _, _) in meters.items()}
    newest = {n: Newest(Reading(NOW_MS, (Value(p, value, "W"),))) for n, (_, p, value) in meters.items()}
    assert power_flows({n: s for n, s in sources.items() if s}, newest, 1, NOW_MS)["generation"].amount == 49_300


def test_power_is_the_signed_one_else_import_less_export_and_never_another_meters() -> None:
    both = found("grid", made(BOTH))
    flows = now(both, Value("active_power_import", 2, "kW"), Value("active_power_export", 5, "kW"))
    assert [flows[name].amount for name in ("import", "export")] == [0, 3000]
    every = found("grid", made(POWER + BOTH, "import"))
    values = Value("active_power_import", 2, "kW"), Value("active_power_export", 5, "kW")
    assert now(every, Value("active_power_total", 700, "W"), *values)["import"].amount == 700
    bad = Value("active_power_total", 700, "W", int(Quality.DEVICE_FAULT))
    assert now(every, bad, *values)["export"].amount == 3000, "a bad one is not taken"
    other = found("grid", made(OTHERS))
    assert not other.powers
    none = now(other, Value("pcc_active_power", 9, "W"), Value("grid_meter_active_power", 9, "W"))["import"]
    assert (none.amount, none.missing) == (None, (Lack("m1", "no-power"),))


@pytest.mark.parametrize(
    ("points", "positive", "values", "why"),
    [
        (POWER, "", (Value("active_power_total", 5, "W"),), "no-sign"),
        (POWER, "import", (Value("active_power_total", 5, "W", int(Quality.RANGE_HIGH)),), "bad-quality"),
        (POWER, "import", (Value("active_power_total", None, "W", int(Quality.DECODE_ERR)),), "bad-quality"),
        (POWER, "import", (Value("active_power_total", float("nan"), "W"),), "bad-quality"),
        (POWER, "import", (), "no-value"),
        (COUNTERS, "", (Value("energy_import", 5, "kWh"),), "no-power"),
    ],
)
def test_what_is_not_known_is_never_0(points: str, positive: str, values: tuple[Value, ...], why: str) -> None:
    flows = now(found("consumption", made(points, positive)), *values)
    assert flows["consumption"] == Flow(None, 1, (Lack("m1", why),))


def test_an_uncertain_power_counts_and_is_marked() -> None:
    one = found("grid", made(POWER + BOTH, "import"))
    flows = now(one, Value("active_power_total", 700, "W", int(Quality.FROZEN)), Value("active_power_import", 1, "kW"))
    assert {name: flow.amount for name, flow in flows.items()} == {"import": 700, "export": 0, "consumption": 700}
    assert {flow.uncertain for flow in flows.values()} == {("m1",)}
    sure = now(one, Value("active_power_total", 700, "W"), Value("active_power_import", 1, "kW", int(Quality.FROZEN)))
    assert sure["import"].uncertain == ()


def test_a_reading_of_three_periods_ago_is_power_and_an_older_one_is_not() -> None:
    one = found("generation", made(POWER, "export"), every="10s")
    value = Value("active_power_total", 5, "W")
    assert now(one, value, age_ms=30_000)["generation"].amount == 5
    old = now(one, value, age_ms=30_001)["generation"]
    assert old == Flow(None, 1, (Lack("m1", "silent", NOW_MS - 30_001),))
    asleep = Newest(Reading(NOW_MS - 60_000, (value,)), NOW_MS - 50_000, "asleep")
    flows = power_flows({"m1": one}, {"m1": asleep}, 1, NOW_MS)
    assert flows["generation"].missing == (Lack("m1", "asleep", NOW_MS - 50_000),)
    assert power_flows({"m1": one}, {}, 1, NOW_MS)["generation"].missing == (Lack("m1", "no-reading"),)
    assert power_flows({"m1": one}, {"m1": asleep}, 10, NOW_MS)["generation"].amount == 5, (
        "every tenth poll is recorded"
    )


def test_a_meter_that_another_one_counts_is_left_out() -> None:
    assert source(meter("generation", in_totals=False), made(POWER, "import")) is None


@pytest.mark.parametrize(
    ("profile", "role", "reversed_", "counters"),
    [
        ("dsmr-5-electricity", "grid", False, {"import": 2, "export": 2}),
        ("siemens-pac3200", "grid", True, {"import": 2, "export": 2}),
        ("dlt645-three-phase", "grid", False, {"import": 1, "export": 1}),
        ("huawei-sun2000", "generation", False, {"import": 0, "export": 1}),
        ("huawei-sun2000", "storage", False, {"import": 0, "export": 0}),
        ("sunspec-inverter", "generation", False, {"import": 0, "export": 1}),
    ],
)
def test_energy_is_a_counter_else_its_tariffs_else_the_yield(
    profile: str, role: str, reversed_: bool, counters: dict[str, int]
) -> None:
    of = found(role, load_profile(profile), reversed=reversed_).counters
    assert {way: len(one.names) for way, one in of.items()} == counters
    if reversed_:
        assert of["import"].names == ("energy_export_t1", "energy_export_t2")
    some = found(role, load_profile("dsmr-4-electricity"), points=("energy_import_t1",)).counters["import"]
    assert some.lack == "not-recorded", "half of the tariffs is no sum"


def test_a_flow_that_lacks_a_part_says_so_and_names_it() -> None:
    parts = [Part("pv-1", Fraction(1)), Part("pv-2", None, Lack("pv-2", "silent", 5)), Part("pv-3", Fraction(2))]
    one = flow(parts)
    assert one.amount == 3
    assert (one.complete, one.known, one.of) == (False, 2, 3)
    assert flow([Part("pv-2", None, Lack("pv-2", "silent", 5))]).amount is None
    tariffs = found("consumption", load_profile("dsmr-5-electricity"))
    figures = {"energy_import_t1": Figure(Fraction(10)), "energy_import_t2": Figure(None, ("no-reading",), 7)}
    assert energy_part(tariffs, "consumption", figures) == Part("m1", Fraction(10), Lack("m1", "no-reading", 7))
    assert energy_part(tariffs, "consumption", figures, "silent").lack == Lack("m1", "silent", 7)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_a_word_and_a_draft_of_its_nodes(role: str) -> None:
    assert HTML.words("en").has("role", role)
    assert RecordWords("zh").of("role", role) != role
    drafted = [line for line in _drafted(role) if line.startswith("# role")]
    expected = {"grid": ["import", "export"], "storage": ["charge", "discharge"], "generation": ["production"]}
    assert [line.split('"')[1] for line in drafted] == expected.get(role, [role])


def test_a_draft_of_a_grid_meter_has_a_node_for_each_direction_as_seen_from_the_grid() -> None:
    text = "\n".join(_drafted("grid", reversed=True))
    one, other = text.split("# [nodes.m1-")[1:]
    assert one.startswith("import]")
    assert '"m1/energy_export_total"' in one, "it hangs the wrong way round"
    assert '"m1/energy_import"' not in one
    assert other.startswith("export]")
    assert '"m1/energy_import"' in other


def _drafted(role: str, **keys: Any) -> list[str]:
    one, counters = meter(role, **keys), [p for p in made(COUNTERS).points if p.kind == "counter"]
    return [line for name, way in NODE_ROLES[one.role].items() for line in _node(one, name, _of(one, counters, way))]


def test_consumption_follows_from_all_the_others_or_is_not_known() -> None:
    known = {name: Flow(Fraction(n), 1) for name, n in {"generation": 50, "import": 7, "export": 20}.items()}
    assert with_consumption(known)["consumption"] == Flow(Fraction(37), 2, computed=True)
    storage = known | {"charge": Flow(Fraction(5), 1), "discharge": Flow(Fraction(1), 1)}
    assert with_consumption(storage)["consumption"].amount == 33
    lacks = known | {"generation": Flow(Fraction(40), 2, (Lack("pv-2", "silent", 1),))}
    assert with_consumption(lacks)["consumption"] == Flow(None, 3, (Lack("pv-2", "silent", 1),), computed=True)
    measured = known | {"consumption": Flow(Fraction(1), 1)}
    assert with_consumption(measured)["consumption"] == Flow(Fraction(1), 1)
    assert "consumption" not in with_consumption({"generation": known["generation"]}), "without a grid meter"
    assert list(with_consumption(storage)) == ["generation", "consumption", "import", "export", "charge", "discharge"]
