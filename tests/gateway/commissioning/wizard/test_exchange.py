"""Questions of an exchange: registers as they are typed, those that cannot follow, another serial number."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.commissioning.wizard.answers_file import read_answers
from gateway.commissioning.wizard.exchange import KEYS, Answering, Exchange, Fall, asked
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message
from tests.support.commands import gateway_command
from tests.support.samples import site

FOUND = Answering("export-main", "serial_number=21099999", {"energy_import": "100.5"})
COUNTERS = [("energy_import", "kWh"), ("energy_export", "kWh")]
GOOD = """[export-main]
serial = "21099999"
final = { energy_import = "0,1005 MWh", energy_export = 7 }
initial = { energy_import = "0.0", energy_export = "1 000.25" }
seals = ["S 1", "S 2"]
"""


def bridges(exchange: Exchange) -> None:
    """What the gateway would say of energy_import."""
    least = Decimal("80") if exchange.since_fall else Decimal("100.5")
    if exchange.final.get("energy_import", 101) < least:
        raise GatewayError(Message("accept-final-below", point="energy_import", register="1", last="100.5"))


def exchange(folder: Path, text: str, found: Answering = FOUND) -> Exchange:
    (path := folder / "answers.toml").write_text(text)
    return asked(read_answers(path, ["export-main"], KEYS)["export-main"], found, COUNTERS, bridges, "somebody")


def test_registers_are_taken_as_a_display_shows_them(tmp_path: Path) -> None:
    done = exchange(tmp_path, GOOD)
    assert done == Exchange(
        by="somebody",
        final={"energy_import": Decimal("100.5"), "energy_export": 7},
        initial={"energy_import": 0, "energy_export": Decimal("1000.25")},
        seals=["S 1", "S 2"],
    )


def test_a_register_that_nobody_read_is_left_out(tmp_path: Path) -> None:
    done = exchange(tmp_path, '[export-main]\nserial = "021099999"\nreason = "old age"\nby = "C. Gauss"\n')
    assert done == Exchange(by="C. Gauss", reason="old age")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"21099999"', '"12345678"', "export-main, serial: .* reports serial_number=21099999, not 12345678"),
        ('"0,1005 MWh"', '"1"', "export-main, final.*: energy_import: the final register 1 is below 100.5"),
        ('"0,1005 MWh"', '"-5"', "export-main, final.*: '-5' is no number"),
        ("energy_export = 7", 'energy_export = "7 kW"', "export-main, final.*kW"),
        (', energy_export = "1 000.25"', "", "export-main, initial, energy_export: "),
        ("seals", "seal", "export-main, seal: no question has this key\n  fix: did you mean seals"),
        ("[export-main]", "position = 'x'\n[export-main]", "position: no question has this key\n  fix: use by"),
        ('serial = "21099999"', "", "export-main, serial: "),
        ('"S 1"', '"S\\u0007"', "export-main, seals: "),
    ],
)
def test_what_a_file_answers_wrongly_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=problem):
        exchange(tmp_path, GOOD.replace(old, new))


NUMBERLESS = Answering("export-main", "", {"energy_import": "100.5"}, by_hand=True)
BY_HAND = '[export-main]\nreason = "old age"\nserial = "4712"\n'


def test_the_number_on_the_plate_of_a_device_that_tells_none_is_kept(tmp_path: Path) -> None:
    assert exchange(tmp_path, BY_HAND, NUMBERLESS) == Exchange(by="somebody", plate="4712", reason="old age")
    without = exchange(tmp_path, '[export-main]\nreason = "old age"\n', NUMBERLESS)
    assert without == Exchange(by="somebody", reason="old age")
    for text in ("[export-main]\n", '[export-main]\nreason = " "\n'):
        with pytest.raises(ConfigError, match="export-main, reason: "):
            exchange(tmp_path, text, NUMBERLESS)


def test_whether_counters_fell_because_of_the_exchange_is_asked(tmp_path: Path) -> None:
    fell = replace(NUMBERLESS, fall=Fall("2026-10-17 09:20:00 +08:00", ("energy_import",), {"energy_import": "80"}))
    with pytest.raises(ConfigError, match="export-main, since_fall: is missing"):
        exchange(tmp_path, BY_HAND, fell)
    registers = 'final = { energy_import = "81" }\ninitial = { energy_import = "0" }\n'
    done = exchange(tmp_path, f"{BY_HAND}since_fall = true\n{registers}", fell)
    assert (done.since_fall, done.final) == (True, {"energy_import": 81})
    with pytest.raises(ConfigError) as below:
        exchange(tmp_path, f"{BY_HAND}since_fall = false\n{registers}", fell)
    assert below.value.what == Message("accept-final-below", point="energy_import", register="1", last="100.5")


def test_the_command_needs_a_gateway_a_meter_and_its_answers(tmp_path: Path) -> None:
    made = site(tmp_path / "site", {})
    (answers := tmp_path / "answers.toml").write_text(GOOD)
    code, _, err = gateway_command("exchange", made.path, "export-main", "--answers", answers)
    assert (code, Message("control-no-gateway", data=str(made.data)).problem in err) == (2, True), err
    code, _, err = gateway_command("exchange", made.path, "export-man", "--answers", answers)
    assert (code, "export-man" in err) == (2, True), err
    answers.write_text('[stack-co2]\nserial = "1"\n')
    code, _, err = gateway_command("exchange", made.path, "export-main", "--answers", answers)
    assert (code, "export-main" in err) == (2, True), err
    assert gateway_command("exchange", made.path, "export-main", "--json")[0] == 2
