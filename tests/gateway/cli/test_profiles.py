"""`meterseal profiles`: grades of points in text and JSON, and the trial of a profile on a simulated device."""

from __future__ import annotations

# not quick: a trial starts a simulator
import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.profiles import trial_view
from gateway.cli.profiles.trial import Difference, ReadBack, compared, tried
from gateway.devices.profile import catalog, load_profile
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.commands import gateway_command

METER = """format = 2
vendor = "Example"
device = "three-phase meter"
source = "manual, page 3"
max_registers = 20
ask = ["word_order"]
[serial]
baudrate = 2400
parity = "E"
[provenance]
default = "seen"
single = ["frequency"]
open = ["x_rent"]
sources = { manual = "manual, page 3", sister = "repository a/b, commit c, file d" }
[defaults]
fc = 4
[points]
voltage_ln_l1 = { address = 0, type = "uint16", unit = "V", scale = -1 }
frequency     = { address = 1, type = "uint16", unit = "Hz", scale = -2 }
energy_import = { address = 2, type = "uint32", unit = "kWh", scale = -2, kind = "counter", factor_from = ["ct"] }
current_l1    = { address = 4, type = "float32", unit = "A", record = false }
x_rent        = { address = 6, type = "uint16", unit = "/100" }
"""


@pytest.fixture
def meter(tmp_path: Path) -> Path:
    path = tmp_path / "example.toml"
    path.write_text(METER)
    return path


def test_the_catalog_counts_points_by_grade() -> None:
    code, text, _ = gateway_command("profiles")
    listed = json.loads(gateway_command("profiles", "--json")[1])["profiles"]
    assert (code, [entry["name"] for entry in listed]) == (0, catalog())
    sdm630 = next(entry for entry in listed if entry["name"] == "eastron-sdm630")
    assert sum(sdm630["provenance"].values()) == sdm630["points"] == 53
    assert f"{sdm630['provenance']['seen']} seen" in " ".join(text.split())


def test_a_profile_shows_the_grade_of_each_point_and_the_sources(meter: Path) -> None:
    code, text, _ = gateway_command("profiles", meter)
    rows = {line.split()[0]: line.split()[-1] for line in text.splitlines() if line.startswith((" ", "frequency"))}
    assert (code, rows["voltage_ln_l1"], rows["frequency"], rows["x_rent"]) == (0, "seen", "single", "open")
    assert "source sister: repository a/b, commit c, file d" in text
    assert "asks for: word_order" in text
    facts = json.loads(gateway_command("profiles", meter, "--json")[1])
    assert facts["provenance"] == {"seen": 3, "single": 1, "open": 1}
    assert {p["name"]: p["provenance"] for p in facts["points"]}["x_rent"] == "open"
    assert (facts["ask"], set(facts["sources"])) == (["word_order"], {"manual", "sister"})


def test_a_profile_shows_the_ratios_that_are_set_in_the_device() -> None:
    assert "ct set in the device: ct_ratio" in gateway_command("profiles", "chint-dtsu666")[1]
    facts = json.loads(gateway_command("profiles", "chint-dtsu666", "--json")[1])
    assert facts["ratios"] == {"ct": "ct_ratio", "pt": "pt_ratio"}


def test_a_trial_whose_reads_cannot_be_made_fails(meter: Path) -> None:
    meter.write_text(METER.replace("max_registers", "answer_life_ms = 600000\nmax_registers"))
    code, text, _ = gateway_command("profiles", "--check", meter)
    assert (code, "error: bus 'trial', meter 'meter', every: " in text) == (1, True), text


def test_a_profile_without_provenance_says_so(meter: Path) -> None:
    meter.write_text(
        "".join(METER.partition("[provenance]")[::2]).replace(METER.split("[provenance]")[1].split("[d")[0], "")
    )
    facts = json.loads(gateway_command("profiles", meter, "--json")[1])
    assert (facts["provenance"], facts["points"][0]["provenance"], facts["sources"]) == (None, None, {})
    assert "seen" not in gateway_command("profiles", meter)[1]


def test_a_trial_shows_reads_times_provenance_and_a_simulated_poll(meter: Path) -> None:
    code, text, _ = gateway_command("profiles", "--check", meter)
    assert code == 0, text
    printed = " ".join(text.split())
    assert "rules: met; 5 points, 4 recorded" in printed
    assert "provenance: 3 seen, 1 single, 1 open" in printed
    assert "serial line, 2400 baud 8E1" in printed
    assert "function 4, 7 registers from 0" in printed
    assert "warning: profile example: x_rent have no source of their own" in printed
    assert "simulated poll: 5 of 5 values as sent" in printed
    assert "word_order is open" in printed


def test_a_trial_as_json(meter: Path) -> None:
    code, text, _ = gateway_command("profiles", "--check", meter, "--json")
    facts = json.loads(text)
    assert (code, facts["ok"], facts["simulated"]["done"]) == (0, True, True)
    assert set(facts["simulated"]["agreed"]) >= {"voltage_ln_l1", "frequency", "energy_import", "current_l1"}
    assert facts["plan"]["reads"][0]["time_ms"] > 100  # of 2400 baud
    assert facts["provenance"] == {"seen": 3, "single": 1, "open": 1}


def test_a_trial_of_what_breaks_a_rule_says_which(meter: Path) -> None:
    meter.write_text(METER.replace('unit = "Hz"', 'unit = "hertz"'))
    code, out, err = gateway_command("profiles", "--check", meter)
    assert (code, out) == (2, "")
    assert f"meterseal: {meter}: points.frequency.unit" in err
    assert "did you mean" in gateway_command("profiles", "--check", "eastron-sdm603")[2]
    assert gateway_command("profiles", "eastron-sdm630", "--check", meter)[0] == 2


def test_what_the_simulator_cannot_serve_is_said_and_is_no_fault(meter: Path) -> None:
    whole = 'x_rent = { address = 6, type = "uint16", kind = "status" }\n'
    whole += 'x_low = { address = 6, type = "uint16", kind = "status", bits = [0, 3] }\n'
    meter.write_text("\n".join(METER.splitlines()[:-1]) + "\n" + whole)
    code, text, _ = gateway_command("profiles", "--check", meter)
    assert (code, "simulated poll: none: " in text, "x_low" in text) == (0, True, True), text
    code, text, _ = gateway_command("profiles", "--check", "dsmr-gas")
    assert (code, "simulated poll: none: a device that sends by itself" in text) == (0, True)


def test_a_value_that_is_not_the_one_sent_fails_the_trial(meter: Path) -> None:
    volts = (Value("v", Decimal("230.1"), "V"), Value("a", 5, "A"), Value("w", None, "W"), Value("n", None, "W"))
    sent: dict[str, list[Any]] = {"v": [230.1], "a": [5.5, 6], "w": [None]}
    back = compared(Reading(0, volts), sent)
    assert back == ReadBack(agreed=("v",), without=("w",), differs=(Difference("a", (5.5, 6), 5),), unread=("n",))
    absent = compared(Reading(0, (Value("n", None, "W", int(Quality.NOT_FOUND)),)), {})
    assert (absent, absent.ok) == (ReadBack(without=("n",)), True)
    trial = replace(tried("dsmr-gas"), read_back=back)
    assert not trial.ok
    facts = trial_view.as_json(trial)
    assert (facts["ok"], facts["simulated"]["differs"]) == (False, [{"point": "a", "sent": ["5.5", "6"], "read": "5"}])


def test_a_new_profile_is_a_whole_one_and_so_is_each_of_its_examples(tmp_path: Path) -> None:
    target = tmp_path / "new.toml"
    assert gateway_command("profiles", "--new", "-o", target)[0] == 0
    code, text, err = gateway_command("profiles", "--check", target)
    assert (code, "4 of 4 values as sent" in " ".join(text.split())) == (0, True), text + err
    assert "warning" not in text
    lines = target.read_text().splitlines()
    taken = [line[2:] if _is_example(line) else line for line in lines if not line.startswith("word_order")]
    (whole := tmp_path / "whole.toml").write_text("\n".join(taken))
    profile = load_profile(str(whole))
    assert (len(profile.points), profile.identity, profile.ask) == (7, ("serial_number",), ("word_order",))
    assert profile.fingerprint is not None
    assert (len(profile.fingerprint.constants), set(profile.fingerprint.ranges)) == (1, {"frequency"})
    assert gateway_command("profiles", "--new", "eastron-sdm630")[0] == 2


def _is_example(line: str) -> bool:
    return bool(re.match(r"# \[[a-z_]+\]", line)) or bool(
        re.match(r"# [a-z_0-9]+ = ", line) and "x_something" not in line
    )
