"""`meterseal check` on lines that cannot do what is asked: refused with the numbers, and what it proposes works."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import load_config
from gateway.devices.points import Profile
from gateway.devices.profile import parse_profile
from gateway.errors import ConfigError
from gateway.fieldbus.endpoints import merge
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message
from gateway.startup import line_specs
from gateway.startup.line_plan import LinePlan, line_plan, line_plans, refuse
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.messages import Fact, Sentence
from ledger_client.verification.trust_text import key_entry
from tests.support.commands import gateway_command
from tests.support.samples import site

INVERTER = 'profile = "sunspec-inverter"'
HEAD = 'vendor = "T"\ndevice = "T"\nsource = "T"\ntimeout_ms = 500\n'


def profile(registers: int, keys: str = "max_registers = 125") -> Profile:
    points = "\n".join(f'x_p{n} = {{ address = {n}, type = "uint16", unit = "W" }}' for n in range(registers))
    return parse_profile(f"{HEAD}{keys}\n[defaults]\nfc = 3\n[points]\n{points}", "made", "made.toml")


def spare(registers: int, keys: str = "max_registers = 125") -> Profile:
    """A device that answers beyond its points, so that each read has more shapes."""
    return profile(registers, f"{keys}\nreadable = [{{ fc = 3, first = 0, last = 200 }}]")


def line(*meters: tuple[Profile, int], **changes: object) -> LineSpec:
    specs = tuple(MeterSpec(f"m{n}", made, n + 1, every_ms, made.points) for n, (made, every_ms) in enumerate(meters))
    spec = LineSpec("rs485-1", "modbus-rtu", specs, port="/dev/null")
    return replace(spec, **changes)  # type: ignore[arg-type]


def messages(fact: Fact) -> list[Message]:
    """The messages of which a fact consists."""
    assert isinstance(fact, tuple)
    return [message for message in fact if isinstance(message, Message)]


def words(plan: LinePlan) -> str:
    """All that is wrong with a line, in one text."""
    return "\n".join(f"{p.key}: {p.problem}; {p.way_out}" for p in plan.problems)


def taken(spec: LineSpec, way_out: str) -> LineSpec:
    """The line with the periods that a way out proposes."""
    common = re.search(r'every = "([0-9.]+)s"(?! for m)', way_out)
    named = {name: seconds for seconds, name in re.findall(r'every = "([0-9.]+)s" for (m\d+)', way_out)}
    assert common or named, way_out
    periods = [round(1000 * float(common[1] if common else named[m.name])) for m in spec.meters]
    return replace(spec, meters=tuple(replace(m, period_ms=p) for m, p in zip(spec.meters, periods, strict=True)))


def test_a_line_with_room_has_nothing_wrong_and_says_what_is_read() -> None:
    plan = line_plan(line((spare(60), 1000), (spare(60), 1000)))
    assert (plan.problems, plan.warnings) == ((), ())
    assert plan.share == pytest.approx(0.33, abs=0.02)
    assert plan.reads[0].reads[:2] == ("function 3, 60 registers from 0", "function 3, 61 registers from 0")
    assert [len(read.reads) for read in plan.reads] == [read.needed for read in plan.reads] == [4, 4]
    assert plan.wire == "/dev/null, 9600 baud 8N1"


@pytest.mark.parametrize("count", [5, 6])
def test_five_meters_of_sixty_registers_every_second_fit_into_9600_baud_and_six_nearly(count: int) -> None:
    """5 × (13 + 2 × 60) characters of 10 bits at 9600 baud, 8.02 ms of silence and 20 ms for the device: 0.83 s."""
    plan = line_plan(line(*[(spare(60), 1000)] * count))
    wire_s = count * ((13 + 120 + 3) * 10 / 9600 + 0.00802 + 0.020)  # variants of 60 to 63 registers
    assert plan.share == pytest.approx(wire_s, abs=0.002)
    assert [(p.message.code, p.message.facts["share"]) for p in plan.problems] == (
        [] if wire_s < 1 else [("budget-line-overfull", "1.02")]
    )
    assert bool(plan.warnings) == (0.8 < wire_s < 1)


def test_an_overfull_line_is_refused_with_its_numbers_and_the_shortest_period_that_works() -> None:
    spec = line(*[(spare(60), 500)] * 3)
    plan = line_plan(spec)
    (problem,) = plan.problems
    assert problem.key == "bus 'rs485-1'"
    assert problem.message.code == "budget-line-overfull"
    assert 1 < float(str(problem.message.facts["share"])) < 2
    asks = [(ask.facts["meter"], ask.facts["period_s"]) for ask in messages(problem.message.facts["asks"])]
    assert asks == [("m0", "0.5"), ("m1", "0.5"), ("m2", "0.5")]
    assert all(100 <= int(str(ask.facts["poll_ms"])) < 200 for ask in messages(problem.message.facts["asks"]))
    works = taken(spec, problem.way_out)
    assert line_plan(works).problems == ()
    shorter = replace(works, meters=tuple(replace(m, period_ms=m.period_ms - 100) for m in works.meters))
    assert line_plan(shorter).problems != ()


def test_different_periods_are_stretched_alike() -> None:
    spec = line((spare(60), 200), (spare(60), 1000))
    (problem,) = line_plan(spec).problems
    works = taken(spec, problem.way_out)
    fast, slow = (m.period_ms for m in works.meters)
    assert slow == 5 * fast
    assert line_plan(works).problems == ()


def test_a_pause_longer_than_the_period_is_refused() -> None:
    spec = line((spare(2, "pause_ms = 500"), 500))
    (problem,) = line_plan(spec).problems
    assert problem.message.code == "budget-meter-overfull-pause"
    assert (problem.message.facts["meter"], problem.message.facts["pause_ms"]) == ("m0", 500)
    assert line_plan(taken(spec, problem.way_out)).problems == ()


def test_a_read_that_is_repeated_too_soon_for_its_shapes_is_refused_with_both_ways_out() -> None:
    spec = line((profile(2), 1000))
    (problem,) = line_plan(spec).problems
    assert problem.key.split(", ") == ["bus 'rs485-1'", "meter 'm0'", "every"]
    assert "has 1 of the 4 shapes" in problem.problem
    assert line_plan(taken(spec, problem.way_out)).problems == ()
    life = re.search(r'answer_life = "([0-9.]+)s" on the bus', problem.way_out)
    assert life is not None
    life_ms = round(1000 * float(life[1]))
    assert line_plan(replace(spec, answer_life_ms=life_ms)).problems == ()
    assert line_plan(replace(spec, answer_life_ms=life_ms + 100)).problems != ()


def apart(*addresses: int, keys: str = "max_registers = 10") -> Profile:
    """A device of which no read may run from one of its points to the next, nor beyond it."""
    points = "\n".join(f'x_p{n} = {{ address = {n}, type = "uint32", unit = "W" }}' for n in addresses)
    return parse_profile(f"{HEAD}{keys}\n[defaults]\nfc = 3\n[points]\n{points}", "apart", "apart.toml")


@pytest.mark.parametrize(("blocks", "shortest_s"), [(2, 7.0), (3, 10.5)])
def test_reads_that_have_one_shape_between_them_need_a_period_for_each(blocks: int, shortest_s: float) -> None:
    """Each keeps it for the answer life of 3 s and the time-out of 0.5 s."""
    spec = line((apart(*range(0, 100 * blocks, 100)), 5000))
    (problem,) = line_plan(spec).problems
    assert problem.key.split(", ") == ["bus 'rs485-1'", "meter 'm0'", "every"]
    assert problem.message.code == "budget-shapes-together"
    assert [problem.message.facts[fact] for fact in ("period_s", "n", "shapes")] == ["5", blocks, 1]
    assert "function 3, 2 registers from 0" in str(problem.message.facts["read_name"])
    assert "fewer of its points" in problem.way_out
    assert f'every = "{shortest_s:g}s"' in problem.way_out
    works = taken(spec, problem.way_out)
    assert line_plan(works).problems == ()
    assert [read.sharing for read in line_plan(works).reads] == [blocks] * blocks
    life = re.search(r'answer_life = "([0-9.]+)s" on the bus', problem.way_out)
    assert life is not None
    life_ms = round(1000 * float(life[1]))
    assert line_plan(replace(spec, answer_life_ms=life_ms)).problems == ()
    assert line_plan(replace(spec, answer_life_ms=life_ms + 100)).problems != ()


def test_reads_that_share_shapes_may_have_more_than_one_between_them() -> None:
    """Of three such reads, with the other function there are two shapes: 3 × 3.5 s in 2 × the period."""
    both = apart(0, 100, 200, keys="max_registers = 10\nsame_functions = true")
    (problem,) = line_plan(line((both, 5200))).problems
    assert "3 reads" in problem.problem
    assert 'every = "5.3s"' in problem.way_out
    assert line_plan(line((both, 5300))).problems == ()
    direct = replace(apart(0, 100), direct=True)
    assert line_plan(line((direct, 1000), port=None, host="h", type="modbus-tcp")).problems == ()


def test_where_no_answer_life_would_do_only_the_period_is_named() -> None:
    (problem,) = line_plan(line((profile(2), 300))).problems
    assert 'every = "3.5s"' in problem.way_out
    assert "answer_life" not in problem.way_out


def test_a_slow_shape_does_not_slow_the_others_down() -> None:
    spec = line((spare(60), 300), (spare(60), 300), (profile(2), 300))
    overfull, shapes = line_plan(spec).problems
    assert "meter 'm2'" in shapes.key
    works = taken(spec, overfull.way_out)
    assert line_plan(works).problems == ()
    assert [m.period_ms for m in works.meters][2] == 3500
    assert works.meters[0].period_ms < 1000


def test_a_device_that_allows_no_longer_read_is_cut_and_check_says_what_that_costs() -> None:
    """80 registers in one read, and none longer: for more shapes the block is cut in two, each with its own pause."""
    made = profile(80, "max_registers = 80\npause_ms = 150")
    spec = line((made, 400))
    one_shape = line_plan(line((made, 60_000)))
    assert [len(read.reads) for read in one_shape.reads] == [1]
    (problem,) = line_plan(spec).problems
    (cut,) = messages(problem.message.facts["cuts"])
    assert (cut.code, cut.facts["meter"], cut.facts["before"]) == ("budget-cut", "m0", 1)
    assert cut.facts["n"] in (2, 3)
    assert cut.facts["max_registers"] == 80
    assert line_plan(taken(spec, problem.way_out)).problems == ()


def test_what_a_dead_meter_costs_is_within_a_hundredth_of_the_line() -> None:
    plan = line_plan(line((spare(60), 2000), (spare(2), 2000)))
    for meter in plan.meters:
        assert (meter.probe_ms, meter.probe_every_ms) == (500, 50_000)
        assert meter.silence_ms == 1000, "two polls, one time-out each"
    tunnel = line_plan(line((spare(2), 400_000), (spare(2), 400_000), timeout_ms=15_000))
    assert tunnel.meters[0].probe_every_ms == 300_000, "at least every five minutes"


def test_over_the_network_only_shapes_are_counted() -> None:
    spec = line((spare(60), 100), (spare(60), 100), port=None, host="10.0.0.5", type="modbus-tcp")
    plan = line_plan(spec)
    assert (plan.share, plan.wire) == (None, "10.0.0.5:502 (modbus-tcp)")
    assert "shapes" in words(plan)
    behind = line(*[(spare(60), 1000)] * 8, port=None, host="h", type="modbus-rtu-over-tcp", answer_life_ms=400)
    assert line_plan(behind).problems == ()
    warning = line_plan(behind).warnings[0]
    assert isinstance(warning, Message)
    assert warning.code == "budget-behind-converter"
    assert (warning.facts["where"], warning.facts["baudrate"]) == ("h:502", 9600)
    assert 1 < float(str(warning.facts["share"])) < 2


def test_buses_over_one_endpoint_have_one_budget() -> None:
    one = line((spare(60), 1000), port=None, host="h", type="modbus-tcp")
    other = replace(one, name="b", tcp_port=502, meters=(replace(one.meters[0], name="n", address=9),))
    (plan,) = line_plans(merge([one, other]))
    assert [m.meter for m in plan.meters] == ["m0", "n"]


def test_of_several_problems_the_first_is_told_and_the_others_counted() -> None:
    plans = [line_plan(line((profile(2), 1000), (profile(2), 1000)))] * 2
    with pytest.raises(ConfigError) as refused:
        refuse(Path("gateway.toml"), plans)
    assert (refused.value.file, refused.value.key) == ("gateway.toml", plans[0].problems[0].key)
    first = plans[0].problems[0].message
    assert refused.value.what == Message("plan-problem-and-more", problem=first, n=3)
    refuse(Path("gateway.toml"), [line_plan(line((profile(2), 5000)))])


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.sampled_from([1, 12, 40]), st.sampled_from([200, 600, 1000, 2500])), min_size=1, max_size=3),
    st.data(),
)
def test_whatever_is_refused_what_is_proposed_works(meters: list[tuple[int, int]], data: st.DataObject) -> None:
    make = data.draw(st.sampled_from([spare, profile]))
    baudrate = data.draw(st.sampled_from([2400, 9600, 115200]))
    spec = line(*[(make(registers), every_ms) for registers, every_ms in meters], baudrate=baudrate)
    for problem in line_plan(spec).problems:
        if problem.key == "bus 'rs485-1'":
            assert line_plan(taken(spec, problem.way_out)).problems == ()
        elif "every = " in problem.way_out:
            name = re.findall(r"m\d", problem.key)[0]
            seconds = re.search(r'every = "([0-9.]+)s"', problem.way_out)
            assert seconds is not None
            every_ms = round(1000 * float(seconds[1]))
            slower = tuple(replace(m, period_ms=every_ms) if m.name == name else m for m in spec.meters)
            still = line_plan(replace(spec, meters=slower)).problems
            assert problem.key not in [p.key for p in still]


def test_check_shows_the_plan_refuses_it_and_run_does_the_same(tmp_path: Path, pty_path: object) -> None:
    loaded = site(tmp_path / "site", {'every = "10s"\n  role = "emission"': 'every = "1s"\n  role = "emission"'})
    (tmp_path / "site" / "rs485-1").symlink_to(pty_path())  # type: ignore[operator]
    with loaded.trust.open("a") as trust:
        trust.write(key_entry("ledger", PrivateKey.generate().public, 1_700_000_000, ledger="demo-ledger"))
    for command, shows in (("check", True), ("run", False)):
        done = gateway_command(command, loaded.path)
        assert done.code == 2
        problem = f"meterseal: {loaded.path}: bus 'rs485-1', meter 'stack-co2', every: 1 s is too short"
        assert problem in done.err
        assert 'fix: set every = "3.5s"' in done.err
        assert ("function 4" in done.out) is shows
    done = gateway_command("check", "--json", loaded.path)
    assert done.code == 2
    facts = done.facts
    assert facts["ok"] is False
    keys = [p["key"].split(", ") for p in facts["lines"][0]["problems"]]
    assert keys == [["bus 'rs485-1'", "meter 'stack-co2'", "every"]]
    assert facts["lines"][0]["meters"][0]["probe_every_ms"] == 50_000
    assert 0 < facts["lines"][0]["share"] < 1
    text = loaded.path.read_text().replace('every = "1s"\n  role', 'every = "3.5s"\n  role')
    loaded.path.write_text(text)
    good = gateway_command("check", loaded.path)
    assert good.code == 0, good.err
    assert "if export-main stops responding, the others wait up to 1 s" in good.out
    assert gateway_command("check", "--json", loaded.path).facts["ok"] is True


@pytest.mark.parametrize("periods", [("2s", "5s"), ("10s", "10s"), ("5s", "5s")])
def test_the_starters_site_passes_at_the_periods_that_demo_and_tests_use(
    periods: tuple[str, str], tmp_path: Path
) -> None:
    from gateway.commissioning import site_init

    every, co2_every = periods
    site_init.init(
        tmp_path / "site", site_init.NewSite(gateway="g", now_s=1_700_000_000, every=every, co2_every=co2_every)
    )
    loaded = load_config(tmp_path / "site" / "gateway.toml")
    plans = line_plans([line_specs.line_spec(loaded, bus) for bus in loaded.document.bus])
    assert [words(plan) for plan in plans] == ["", ""]
    assert [plan.warnings for plan in plans] == [(), ()]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ()),
        ({INVERTER: f'{INVERTER}\npoints = ["frequency"]'}, ("pv-inverter may sleep", "record its point active_power")),
        ({INVERTER: f'{INVERTER}\npoints = ["frequency"]\nsleeps = "20:00-06:00"'}, ()),
        (
            {
                INVERTER: f'{INVERTER}\npoints = ["frequency"]',
                "[store]": "latitude = 52.5\nlongitude = 13.4\n[store]",
            },
            (),
        ),
    ],
)
def test_a_meter_that_may_sleep_and_never_is_asleep_is_named(
    changes: dict[str, str], words: tuple[str, ...], tmp_path: Path
) -> None:
    loaded = site(tmp_path / "site", changes)
    plans = line_plans(line_specs.line_specs(loaded))
    found = [str(warning) for plan in plans for warning in plan.warnings]
    assert len(found) == (1 if words else 0)
    assert all(word in found[0] for word in words)


def test_a_profile_without_sleeps_below_is_told_where_to_write_it() -> None:
    (warning,) = line_plan(line((profile(4, "may_sleep = true"), 60_000))).warnings
    assert isinstance(warning, Message)
    assert warning == Message("budget-never-asleep", meter="m0")
    assert 'sleeps = "20:00-06:00"' in warning.way_out
    assert "latitude and longitude" in warning.way_out
    assert "sleeps_below" in warning.way_out


UNSAID = """
[points]
x_total = { fc = 3, address = 0, type = "uint32", unit = "kWh" }
x_water = { fc = 3, address = 2, type = "float32", unit = "m3" }
x_power = { fc = 3, address = 4, type = "uint32", unit = "W", high = 5000 }
x_volts = { fc = 3, address = 6, type = "uint16", unit = "V", not_available = [65535] }
x_amps  = { fc = 3, address = 7, type = "int16", unit = "A" }
x_sold  = { fc = 3, address = 8, type = "uint32", unit = "kWh", kind = "counter" }
x_state = { fc = 3, address = 10, type = "uint16", kind = "status" }
"""


def test_a_counters_unit_without_a_kind_is_a_warning() -> None:
    made = parse_profile(HEAD + UNSAID, "made", "made.toml")
    (warning,) = line_plan(line((made, 60_000), (made, 60_000))).warnings
    assert isinstance(warning, Message)
    assert warning == Message("budget-kind-missing", profile="made", points=("x_total", "x_water"))
    assert 'kind = "counter"' in warning.way_out
    assert 'kind = "gauge"' in warning.way_out


KNOWN = """
[points]
voltage_ln_l1 = { fc = 3, address = 0, type = "float32", unit = "V" }
current_l1 = { fc = 3, address = 2, type = "float32", unit = "V" }
energy_import = { fc = 3, address = 4, type = "float32", unit = "kWh", kind = "gauge" }
spannung = { fc = 3, address = 6, type = "float32", unit = "V" }
x_spannung = { fc = 3, address = 8, type = "float32", unit = "V" }
"""


def known(more: str, *names: str) -> list[Sentence]:
    made = parse_profile(HEAD + KNOWN + more, "made", "made.toml")
    spec = line((made, 60_000))
    points = tuple(point for point in made.points if point.name in names)
    return list(line_plan(replace(spec, meters=(replace(spec.meters[0], points=points),))).warnings)


def test_names_that_are_not_those_of_the_vocabulary_are_a_warning() -> None:
    every = ("voltage_ln_l1", "current_l1", "energy_import", "spannung", "x_spannung")
    unknown, other = known("", *every)
    assert isinstance(unknown, Message)
    assert unknown == Message("budget-names-unknown", profile="made", points=("spannung",))
    assert "x_" in unknown.way_out
    assert other == Message("budget-names-other", profile="made", points=("current_l1", "energy_import"))
    assert known("", "voltage_ln_l1", "x_spannung") == []


def test_recorded_points_without_a_source_are_a_warning() -> None:
    grades = "[provenance]\ndefault = 'single'\ninferred = ['voltage_ln_l1']\nopen = ['x_spannung']\n"
    grades += "sources = { manual = 'page 1' }\n"
    (warning,) = known(grades, "voltage_ln_l1", "x_spannung")
    assert warning == Message("budget-points-unsupported", profile="made", points=("voltage_ln_l1", "x_spannung"))
    (warning,) = known(grades, "x_spannung")
    assert warning == Message("budget-points-unsupported", profile="made", points=("x_spannung",))
    assert known(grades.replace("inferred =", "seen =").replace("'page 1'", "'1', other = '2'"), "voltage_ln_l1") == []


def test_integers_without_a_code_for_no_value_or_limits_are_listed_in_one_line_a_profile() -> None:
    made = parse_profile(HEAD + UNSAID, "made", "made.toml")
    notes = line_plan(line((made, 60_000), (made, 60_000))).notes
    (note,) = [note for note in notes if "not_available" in str(note)]
    assert note == Message("budget-unbounded", profile="made", points=("x_total", "x_amps", "x_sold"))


def test_of_a_sum_the_parts_are_listed_unless_it_has_limits() -> None:
    parts = """format = 2
[points]
e_mwh = { fc = 3, address = 0, type = "bcd32", kind = "part", scale = 3 }
e_kwh = { fc = 3, address = 2, type = "uint16", kind = "part" }
"""
    total = 'energy = { sum = ["e_mwh", "e_kwh"], unit = "kWh", kind = "counter", wraps_at = 100000000000'
    bare, limited = (parse_profile(f"{HEAD}{parts}{total}{end} }}", "made", "f") for end in ("", ", high = 99999999"))
    (note,) = line_plan(line((bare, 60_000))).notes
    assert note == Message("budget-unbounded", profile="made", points=("e_kwh",))
    assert line_plan(line((limited, 60_000))).notes == ()
