"""The steps of a commissioning: what is asked, what is refused, what is kept when it stops, what the draft becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.commissioning.wizard import finish
from gateway.commissioning.wizard.answers_file import read_answers
from gateway.commissioning.wizard.direction import Place
from gateway.commissioning.wizard.draft import Draft
from gateway.commissioning.wizard.live import Live, LiveValue
from gateway.commissioning.wizard.progress import ProgressFile
from gateway.commissioning.wizard.questions import Question
from gateway.commissioning.wizard.steps import Commissioning, Surroundings
from gateway.config.limits import Limit
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message

CONFIG = """\
[gateway]
id = "g"
[[bus]]
name = "b"
type = "modbus-tcp"
host = "h"
  [[bus.meter]]
  name = "m" # main
  profile = "asking.toml"
  address = 1
"""
PROFILE = """\
format = 2
vendor = "v"
device = "d"
source = "s"
ask = ["word_order"]
[defaults]
fc = 3
[points]
energy_import = { address = 0, type = "uint32", unit = "kWh", kind = "counter" }
energy_export = { address = 2, type = "uint32", unit = "kWh", kind = "counter" }
voltage_ln_l1 = { address = 4, type = "float32", unit = "V" }
active_power_l1 = { address = 10, type = "float32", unit = "W" }
active_power_l2 = { address = 12, type = "float32", unit = "W" }
active_power_l3 = { address = 14, type = "float32", unit = "W" }
active_power_total = { address = 6, type = "float32", unit = "W", factor_from = ["ct"] }
"""
ALL = {
    "by": "A. Turing",
    "word_order": "little",
    "ct": "200/5",
    "energy_import": "1520.4",
    "voltage_ln_l1": "230.1",
    "role": "consumption",
    "reversed": "no",
    "plate_serial": "4711",
    "seals": ["S1", "S2"],
    "position": "row 2",
    "label": "Halle",
    "remarks": "dusty",
}
NOON = Place(datetime(2026, 6, 21, 12, 0, tzinfo=ZoneInfo("Europe/Berlin")))


class Stopped(Exception):
    """Ctrl-C."""


class Script:
    """Answers by key (of a comparison: by point), each once unless there is a list; it stops where there is none."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.asked: list[str] = []
        self.sentence: list[str] = []
        self.stop_at = ""
        self._left = {key: list(a) if isinstance(a, list) else [a] for key, a in answers.items()}

    def ask(self, question: Question) -> str:
        key = question.point if question.key == "display" else question.key
        self.asked.append(key)
        if key == self.stop_at:
            raise Stopped(key)
        if left := self._left.get(key):
            return str(left.pop(0))
        if question.default is None or (key == "no_display" and key not in self._left):
            raise Stopped(key)
        return question.default

    def answers(self, key: str) -> bool:
        return False

    def refused(self, question: Question, why: GatewayError) -> None:
        self.sentence.append(str(why))

    def tell(self, message: Message) -> None:
        self.sentence.append(str(message))

    def show(self, meter: str, live: Live) -> None:
        self.asked.append("shown")


def meter(
    energy: Iterator[str],
    power: float = 900.0,
    identity: str | None = "serial_number=4711",
    l2: Sequence[float] = (),
) -> Any:
    """A meter whose register of energy, and the power of L2, stand at each of these when it is read, and at the last
    from then on."""
    last, second, seconds = "0", 300.0, iter(l2)

    def read(config: Config, name: str, only: tuple[str, ...] = ()) -> Live:
        nonlocal last, second
        last, second = next(energy, last), next(seconds, second)
        energies = {"energy_import": Decimal(last), "energy_export": Decimal(0)}
        found = energies | {"voltage_ln_l1": 230.1, "active_power_total": power}
        found |= {"active_power_l1": 300.0, "active_power_l2": second, "active_power_l3": 300.0}
        points = {point.name: point for point in config.profiles[name].points}
        return Live(
            identity,
            {
                key: LiveValue(key, points[key].unit or "", value, key.startswith("energy"), b"\1", b"\2", 1000)
                for key, value in found.items()
                if not only or key in only
            },
        )

    return read


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., tuple[Commissioning, Script]]:
    (tmp_path / "gateway.toml").write_text(CONFIG)
    (tmp_path / "asking.toml").write_text(PROFILE)

    def made(read: Any = None, **changed: Any) -> tuple[Commissioning, Script]:
        answers = {key: value for key, value in (ALL | changed).items() if value is not None}
        script = Script(answers)
        draft = Draft(tmp_path / "gateway.toml", CONFIG, "m")
        around = Surroundings(read or meter(iter(["1520.4"])), lambda config: NOON, "somebody")
        return Commissioning(draft, ProgressFile(tmp_path / "data", "m"), script, around), script

    return made


Begin = Callable[..., tuple[Commissioning, Script]]


@pytest.mark.parametrize(("answer", "settings"), [("200/5", {"ct": "200/5"}), (None, {})])
def test_the_nameplate_s_ratio_of_a_meter_that_has_its_own_may_be_stated(
    begin: Begin, tmp_path: Path, answer: str | None, settings: dict[str, str]
) -> None:
    profile = PROFILE.replace('ask = ["word_order"]', 'ratios = { ct = "ct_ratio" }').replace('["ct"]', '["ct_ratio"]')
    (tmp_path / "asking.toml").write_text(profile + 'ct_ratio = { address = 8, type = "uint16", kind = "scale" }\n')
    commissioning, script = begin(ct=answer)
    commissioning.run()
    assert "ct" in script.asked
    assert {key: value for key, value in commissioning.draft.settings.items() if key in ("ct", "pt")} == settings
    assert commissioning.draft.config().configured["m"].stated == settings
    assert commissioning.draft.config().configured["m"].ratios == {}


def test_every_step_is_asked_once_in_order_and_the_draft_has_the_settings(begin: Begin, tmp_path: Path) -> None:
    work, script = begin()
    work.run()
    assert script.asked == [
        "by", "ct", "shown", "shown", "word_order", "shown", "energy_import", "voltage_ln_l1", "role", "reversed",
        "limits", "plate_serial", "seals", "seals", "seals", "position", "photos", "label", "remarks",
    ]  # fmt: skip
    assert work.draft.settings == {"word_order": "little", "ct": "200/5", "role": "consumption", "label": "Halle"}
    entry = work.draft.config().meters["m"]
    assert (entry.word_order, str(entry.ct), entry.role, entry.reversed) == ("little", "40", "consumption", False)
    assert [(c.point, c.display, c.verdict) for c in work.progress.comparisons] == [
        ("energy_import", "1520.4", "agrees"),
        ("voltage_ln_l1", "230.1", "agrees"),
    ]
    assert (tmp_path / "gateway.toml").read_text() == CONFIG


@pytest.mark.parametrize(
    "stop", [key for key in ALL if key not in ("position", "label", "remarks", "plate_serial", "seals")]
)
def test_what_was_answered_before_it_stopped_is_not_asked_again(begin: Begin, stop: str, tmp_path: Path) -> None:
    work, script = begin()
    script.stop_at = stop
    with pytest.raises(Stopped):
        work.run()
    assert (tmp_path / "gateway.toml").read_text() == CONFIG
    again, second = begin()
    again.run()
    kept = {key for key in script.asked if key not in ("shown", stop)}
    assert stop in second.asked
    assert not kept & set(second.asked)
    assert again.draft.settings == {"word_order": "little", "ct": "200/5", "role": "consumption", "label": "Halle"}
    assert len(again.progress.comparisons) == 2


def test_what_the_meter_counts_while_somebody_types_is_no_difference(begin: Begin) -> None:
    work, _ = begin(meter(iter(["1520.4", "1520.4", "1520.4", "1521.9"])), energy_import="1521.2")
    work.run()
    (energy, _) = work.progress.comparisons
    assert (energy.value, energy.display, energy.verdict) == (Decimal("1521.9"), "1521.2", "agrees")


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("1520400", "1000 times what was read (1520.4 kWh): kWh, not Wh?"),
        ("1.5204", "is 1000 times what the display shows (1.5204): kWh, not Wh?"),
        ("60816", "(40 times as much on the display)"),
        ("twelve", "'twelve' is no number"),
        ("5 V", "V cannot be kWh"),
    ],
)
def test_a_display_value_that_does_not_fit_is_told_and_typed_again(begin: Begin, typed: str, problem: str) -> None:
    work, script = begin(energy_import=[typed, "1520.4"])
    work.run()
    assert len([text for text in script.sentence if problem in text]) == 1
    assert [c.verdict for c in work.progress.comparisons] == ["agrees", "agrees"]


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("0.2301", "voltage_ln_l1: what was read (230.1 V) is 1000 times what the display shows (0.2301): a unit with"),
        ("230100", "voltage_ln_l1: the display shows 230100, 1000 times what was read (230.1 V): a unit with another"),
    ],
)
def test_a_thousand_off_is_no_question_of_kwh_where_no_energy_is_compared(
    begin: Begin, typed: str, problem: str
) -> None:
    work, script = begin(voltage_ln_l1=[typed, "230.1"])
    work.run()
    assert len([text for text in script.sentence if text.startswith(problem)]) == 1
    assert not any("kWh, not Wh" in text for text in script.sentence)


def test_a_thousand_off_is_right_once_the_unit_is_given(begin: Begin) -> None:
    work, _ = begin(energy_import=["1520400", "1520400 Wh"])
    work.run()
    assert [c.display for c in work.progress.comparisons] == ["1520400 Wh", "230.1"]


def test_a_difference_is_recorded_with_its_reason(begin: Begin) -> None:
    work, _ = begin(energy_import=["1600", "differs"], differs="display lags")
    work.run()
    energy = work.progress.comparisons[0]
    assert (energy.verdict, energy.display) == ("differs", "1600")
    assert work.progress.answers["differing"] == ["energy_import: display lags"]


def test_without_a_display_the_reason_is_asked(begin: Begin) -> None:
    work, script = begin(energy_import="", voltage_ln_l1="", no_display="no display")
    work.run()
    assert work.progress.comparisons == []
    assert work.progress.answers["no_display"] == "no display"
    assert script.asked.count("energy_import") == script.asked.count("no_display") == 1


def test_a_generator_that_imports_at_noon_needs_an_answer(begin: Begin) -> None:
    work, script = begin(role="generation", reversed=None)
    with pytest.raises(Stopped):
        work.run()
    assert str(Message("wizard-generation-imports", at="12:00", power="900")) in script.sentence
    work, script = begin(role="generation", reversed="yes")
    work.run()
    assert work.draft.config().meters["m"].reversed


def test_another_serial_number_is_refused_until_the_plate_is_right(begin: Begin) -> None:
    work, script = begin(plate_serial=["4712", "00-4711"])
    work.run()
    assert "other_serial" in script.asked
    assert any("this is another meter" in text for text in script.sentence)
    assert work.progress.answers["plate_serial"] == "00-4711"


@pytest.mark.parametrize("identity", [None, "manufacturer=A, device_model=B"])
def test_the_plate_of_a_device_that_tells_no_number_is_kept_beside_what_it_says(
    begin: Begin, identity: str | None
) -> None:
    work, script = begin(meter(iter(["1520.4"]), identity=identity), plate_serial="4712")
    work.run()
    assert "other_serial" not in script.asked
    assert not any("another meter" in text for text in script.sentence)
    assert (work.progress.answers["plate_serial"], work.progress.identity) == ("4712", identity)


def test_one_value_is_enough_for_a_device_that_counts_no_energy(begin: Begin) -> None:
    full = meter(iter(["1520.4"]))

    def sensor(config: Config, name: str, points: tuple[str, ...] = ()) -> Live:
        found = full(config, name, points)
        return Live(found.identity, {key: value for key, value in found.values.items() if not value.energy})

    work, script = begin(sensor)
    work.run()
    assert [c.point for c in work.progress.comparisons] == ["voltage_ln_l1"]
    assert [point for point in script.asked if point.startswith(("active", "energy", "voltage"))] == ["voltage_ln_l1"]


def test_another_serial_number_that_somebody_vouches_for_is_recorded(begin: Begin) -> None:
    work, _ = begin(plate_serial="4712", other_serial="yes")
    work.run()
    assert (work.progress.answers["plate_serial"], work.progress.identity) == ("4712", "serial_number=4711")


def test_another_device_is_compared_again_with_its_own_plate(begin: Begin) -> None:
    work, script = begin(energy_import=["1600", "differs"], differs="display lags", position=None)
    script.stop_at = "position"
    with pytest.raises(Stopped):
        work.run()
    again, second = begin(meter(iter(["1520.4"]), identity="serial_number=99"), plate_serial="99")
    again.run()
    other = Message("wizard-other-device", meter="m", now="serial_number=99", was="serial_number=4711")
    assert str(other) in second.sentence
    assert {"energy_import", "voltage_ln_l1"} <= set(second.asked)
    assert again.progress.answers["plate_serial"] == "99"
    assert "differing" not in again.progress.answers


@pytest.mark.parametrize("text", ["a\0.jpg", "~no-such-user/a.jpg", "x" * 5000, "/dev/zero"])
def test_a_photo_that_can_be_no_file_is_asked_again(begin: Begin, text: str) -> None:
    work, script = begin(photos=[text, ""])
    work.run()
    assert (
        len([sentence for sentence in script.sentence if "leave it out" in sentence or "in one line" in sentence]) == 1
    )
    assert work.photos == ()


def test_a_reason_that_a_record_cannot_hold_is_asked_again(begin: Begin) -> None:
    work, _ = begin(energy_import=["1600", "differs"], differs=["x" * 10_000, "display lags"])
    work.run()
    assert work.progress.answers["differing"] == ["energy_import: display lags"]
    work, _ = begin(energy_import="", voltage_ln_l1="", no_display=["x" * 10_000, "no display"])
    work.progress.comparisons.clear()
    work.run()
    assert work.progress.answers["no_display"] == "no display"


def test_an_answers_file_goes_before_what_was_kept_and_nothing_is_kept_of_it(begin: Begin, tmp_path: Path) -> None:
    work, script = begin(remarks=None)
    script.stop_at = "remarks"
    with pytest.raises(Stopped):
        work.run()
    kept = work.progress
    file = ProgressFile(tmp_path / "data", "m", answered={"role", "plate_serial", "display"})
    found = file.load()
    assert set(kept.answers) - set(found.answers) == {"role", "plate_serial"}
    assert (len(kept.comparisons), found.comparisons) == (2, [])
    file.save(found)
    assert ProgressFile(tmp_path / "data", "m").load() == kept


def test_a_photo_that_is_gone_is_named_and_asked_again(begin: Begin, tmp_path: Path) -> None:
    (picture := tmp_path / "a.jpg").write_bytes(b"jpeg")
    work, script = begin(photos=[str(tmp_path / "gone.jpg"), str(picture), ""], remarks=None, label=None)
    script.stop_at = "label"
    with pytest.raises(Stopped):
        work.run()
    assert any(f"photo {tmp_path / 'gone.jpg'}: " in text for text in script.sentence)
    assert [(p.name, p.size) for p in work.photos] == [("a.jpg", 4)]
    picture.unlink()
    again, second = begin(photos="")
    again.run()
    assert any(f"photo {picture}" in text for text in second.sentence)
    assert again.photos == ()


def test_progress_that_is_damaged_is_named(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "data" / "commissioning").mkdir(parents=True)
    for text in ("{", "[]", '{"format": "x"}', '{"format": "meterseal-commissioning-progress/1", "meter": "n"}'):
        (tmp_path / "data" / "commissioning" / "m.json").write_text(text)
        with pytest.raises(GatewayError, match="fix: remove the file") as damaged:
            begin()
        path = tmp_path / "data" / "commissioning" / "m.json"
        assert damaged.value.message == Message("wizard-progress-damaged", path=str(path))


def test_a_file_without_a_reason_is_said_once(begin: Begin, tmp_path: Path) -> None:
    work, _ = begin()
    (path := tmp_path / "answers.toml").write_text('[m]\nby = "A"\nct = 1\nword_order = "big"\ndisplay = { x = 1 }\n')
    given = read_answers(path, ["m"])["m"]
    again = Commissioning(work.draft, ProgressFile(tmp_path / "data", "m", given.keys), given, work._around)
    with pytest.raises(GatewayError) as caught:
        again.run()
    assert isinstance(caught.value, ConfigError)
    assert (caught.value.file, caught.value.key) == (str(path), "m, display")
    assert caught.value.what == Message("answers-not-compared", points=("x",))


L2_AGAINST = "L2 shows -300 W against both other phases"


def test_a_phase_that_looks_reversed_is_turned_round_or_has_its_reason(begin: Begin) -> None:
    """Three looks before the values are compared; then one for each empty answer."""
    work, script = begin(meter(iter(["1520.4"]), l2=[-300.0] * 3 + [300.0]), reversed_phase="")
    work.run()
    assert len([text for text in script.sentence if text.startswith(L2_AGAINST)]) == 1
    assert "reversed_phase" not in work.progress.answers
    work, script = begin(meter(iter(["1520.4"]), l2=[-300.0]), reversed_phase=["", "one inverter on L2"])
    work.run()
    assert len([text for text in script.sentence if text.startswith(L2_AGAINST)]) == 2
    assert work.progress.answers["reversed_phase"] == "one inverter on L2"


@pytest.mark.parametrize("reason", [None, "", " "])
def test_a_file_signs_no_phase_that_looks_reversed_without_a_reason(
    begin: Begin, tmp_path: Path, reason: str | None
) -> None:
    given = from_file(begin, tmp_path, -300.0, reason)
    with pytest.raises(GatewayError) as refused:
        given.run()
    assert str(refused.value).startswith(f"{tmp_path / 'answers.toml'}: m, reversed_phase: {L2_AGAINST}")
    assert 'reversed_phase = "why"' in refused.value.way_out
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("power", [-300.0, 300.0])
def test_the_reason_of_a_file_is_kept_whatever_the_phase_shows_now(begin: Begin, tmp_path: Path, power: float) -> None:
    """An inverter on one phase stands still while somebody is there."""
    given = from_file(begin, tmp_path, power, "one inverter on L2")
    given.run()
    assert finish.record(given, given.draft.config(), 1000).reversed_phase == "one inverter on L2"


def from_file(begin: Begin, folder: Path, power: float, reason: str | None) -> Commissioning:
    work, _ = begin(meter(iter(["1520.4"]), l2=[power]))
    rows = ["[m]", 'by = "A"', "ct = 1", 'word_order = "big"', 'role = "consumption"', 'no_display = "none"']
    rows += [f'reversed_phase = "{reason}"'] if reason is not None else []
    (path := folder / "answers.toml").write_text("\n".join(rows))
    answers = read_answers(path, ["m"])["m"]
    return Commissioning(work.draft, ProgressFile(folder / "data", "m", answers.keys), answers, work._around)


def test_limits_are_written_beside_those_that_are_there_and_a_wrong_one_is_asked_for_again(begin: Begin) -> None:
    given = ["voltage_ln 207 253", "voltage_lm 1 2", "voltage_ln 253", "energy_import - 1e6", "voltage_ln 210 -"]
    work, script = begin(limits=given)
    work.draft.text = CONFIG + "  limits = { energy_export = [0, 5] }\n"
    work.run()
    limits = {"energy_export": [0, 5], "voltage_ln": [210, inf], "energy_import": [-inf, 1_000_000]}
    assert work.draft.settings["limits"] == limits
    assert "voltage_ln" in script.sentence[-3] + script.sentence[-2]
    edited = work.draft.edited()
    assert "limits = {energy_export = [0, 5], voltage_ln = [210, inf], energy_import = [-inf, 1000000]}" in edited
    assert work.draft.config().limits["m"]["voltage_ln_l1"] == Limit(210.0, inf)
