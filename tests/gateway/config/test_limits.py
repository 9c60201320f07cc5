"""Limits of a meter's values (`limits`): what they are about, what is refused, and what they do not change."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gateway.commissioning.site_init import add_to_trust
from gateway.config.device_keys import make_missing
from gateway.config.limits import Limit
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.messages.message import Message
from tests.gateway.config.refusals import refused
from tests.support.commands import gateway_command

PROFILE = """format = 2
vendor = "Example"
device = "meter"
source = "manual, page 3"
[defaults]
fc = 4
type = "float32"
[points]
voltage_ln_l1 = { address = 0, unit = "V" }
voltage_ln_l2 = { address = 2, unit = "V" }
voltage_ln_l3 = { address = 4, unit = "V" }
voltage_ll_l12 = { address = 6, unit = "V" }
voltage_ll_l23 = { address = 8, unit = "mV" }
active_power = { address = 10, unit = "W" }
active_power_l1 = { address = 12, unit = "W" }
frequency = { address = 14, unit = "Hz", record = false }
current_l1 = { address = 16, unit = "A", factor_from = ["ct"] }
operating_state = { address = 18, type = "uint16", kind = "status" }
[fingerprint]
ranges = { voltage_ln_l1 = [80, 300], voltage_ln_l2 = [80, 300], frequency = [45, 65], current_l1 = [0, 10] }
"""
METER = (
    '[gateway]\nid = "g"\n[[bus]]\nname = "b"\ntype = "modbus-rtu"\nport = "tty"\n'
    '[[bus.meter]]\nname = "m"\nprofile = "meter.toml"\naddress = 1\nct = 40\n'
)


def written(folder: Path, keys: str = "") -> Path:
    (folder / "meter.toml").write_text(PROFILE)
    (folder / "gateway.toml").write_text(f"{METER}{keys}\n")
    return folder / "gateway.toml"


def loaded(folder: Path, keys: str = "") -> Config:
    return load_config(written(folder, keys))


def limits(folder: Path, keys: str = "") -> dict[str, tuple[float, float]]:
    return {name: (one.low, one.high) for name, one in loaded(folder, keys).limits.get("m", {}).items()}


def test_without_the_key_the_upper_ends_of_the_profiles_ranges_hold(tmp_path: Path) -> None:
    """No lower ends, for an open switch reads 0 V; and nothing of a point that a transformer ratio multiplies."""
    upper = {"voltage_ln_l1": (-math.inf, 300.0), "voltage_ln_l2": (-math.inf, 300.0)}
    assert limits(tmp_path) == upper
    assert limits(tmp_path, "limits = { active_power = [-inf, 5000] }") == upper | {"active_power": (-math.inf, 5000.0)}


def test_a_key_is_a_point_or_the_stem_of_its_phases(tmp_path: Path) -> None:
    keys = "limits = { voltage_ln_l1 = [-inf, inf], voltage_ln = [207, 253.5], active_power = [-10, inf] }"
    assert limits(tmp_path, keys) == {
        "voltage_ln_l2": (207.0, 253.5), "voltage_ln_l3": (207.0, 253.5), "active_power": (-10.0, math.inf),
    }  # fmt: skip
    only = 'points = ["voltage_ln_l3", "frequency"]\nlimits = { voltage_ln = [207, 253], frequency = [49, 51] }'
    assert limits(tmp_path, only) == {"voltage_ln_l3": (207.0, 253.0), "frequency": (49.0, 51.0)}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("limits = 253", ("meter 'm', limits: ", "no table", "limits = { voltage_ln = [207, 253] }")),
        ("limits = { voltage_ln = 253 }", ("limits, voltage_ln: ", "two numbers", "voltage_ln = [207, 253]")),
        ("limits = { voltage_ln = [207, nan] }", ("limits, voltage_ln: ", "two numbers")),
        ("limits = { voltage_ln = [true, 253] }", ("limits, voltage_ln: ", "two numbers")),
        ("limits = { voltage_ln = [253, 207] }", ("limits, voltage_ln: ", "253", "207", "lower limit first")),
        ("limits = { voltage_ln = [inf, inf] }", ("limits, voltage_ln: ", "not below")),
        ("limits = { voltage = [207, 253] }", ("limits, voltage: ", "no point 'voltage'")),
        ("limits = { voltage_lm = [207, 253] }", ("limits, voltage_lm: ", "did you mean 'voltage_ln'?")),
        ("limits = { frequency = [49, 51] }", ("limits, frequency: ", "not recorded", "points of the meter")),
        ("limits = { operating_state = [1, 2] }", ("limits, operating_state: ", "not a number", "remove it")),
        ("limits = { voltage_ll = [360, 440] }", ("limits, voltage_ll: ", "voltage_ll_l23 (mV)", "own name")),
        ("limits = { voltage_ln = [0.207, 0.253] }", ("limits, voltage_ln: ", "80 to 300 V", "recorded, V")),
    ],
)
def test_what_cannot_be_watched_is_refused_with_its_key_and_the_fix(
    tmp_path: Path, keys: str, words: tuple[str, ...]
) -> None:
    refused(written(tmp_path, keys), "bus 'b', meter 'm', ", *words)


def test_a_limit_is_of_the_configuration_and_of_no_record(tmp_path: Path) -> None:
    """The fingerprint has it where it is used, and what is signed of the meter does not."""
    without, other = loaded(tmp_path), loaded(tmp_path, "limits = { voltage_ln = [207, 253] }")
    assert loaded(tmp_path, "limits = {}").fingerprint() == without.fingerprint()
    assert other.fingerprint() != without.fingerprint()
    assert loaded(tmp_path, "limits = { voltage_ln = [207, 254] }").fingerprint() != other.fingerprint()
    assert other.configured == without.configured


def test_check_says_which_limits_are_in_force_and_which_meters_have_none(tmp_path: Path) -> None:
    def checked(keys: str) -> str:
        path = written(tmp_path, keys)
        path.write_text(path.read_text().replace('modbus-rtu"\nport = "tty"', 'modbus-tcp"\nhost = "127.0.0.1"'))
        loaded = load_config(path)
        make_missing(loaded, 0)
        add_to_trust(loaded, (), 0)
        code, out, err = gateway_command("check", loaded.path)
        assert code == 0, err
        return out.replace("\n", " ")

    with_limits = checked("limits = { voltage_ln = [207, 253], active_power = [-inf, 5] }")
    _, _, in_force = with_limits.partition("limits of m: ")
    assert in_force.split("; ")[:2] == ["voltage_ln_l1 207 to 253 V", "voltage_ln_l2 207 to 253 V"]
    assert "active_power up to 5 W" in with_limits
    assert "note:" not in with_limits
    assert Message("limits-none", meters=("m",)).problem in checked('points = ["voltage_ln_l3"]')


def test_a_value_is_back_only_when_it_is_inside_by_the_hysteresis() -> None:
    volts, one_end = Limit(207.0, 253.0), Limit(-math.inf, 300.0)
    assert [volts.breaks(value) for value in (206.9, 207, 253, 253.1)] == [True, False, False, True]
    assert [volts.holds(value) for value in (252.5, 252.0, 207.5, 208.0)] == [False, True, False, True]
    assert [one_end.holds(value) for value in (299.8, 299.7, 0.0)] == [False, True, True]
