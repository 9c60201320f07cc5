"""`meterseal commission` on a real terminal against simulated meters: to its end, stopped, and with bad input."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from gateway.commissioning import site_init
from gateway.commissioning.record import submit
from gateway.commissioning.record.content import CommissioningRecord
from gateway.commissioning.scan.found import FoundLine, FoundUnit, ScanResult
from gateway.commissioning.wizard import findings
from gateway.config.load import load_config
from gateway.fieldbus.modbus.frames import parse_request
from tests.support.gateways.apart import apart
from tests.system.demo_site import PATIENCE_S, GatewayProcess, Plant, plant

METER = "export-main"
PRESSES = 20
"""How often a key is pressed, three seconds apart, before a test gives up."""


@pytest.fixture(scope="module")
def meters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with plant(tmp_path_factory.mktemp("plant")) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, meters: Plant) -> Path:
    """The configuration of a site that has never run."""
    lines = meters.lines()
    new = site_init.NewSite(
        gateway="g", now_s=1_700_000_000, port=lines["rs485-1"]["port"], sunspec_port=lines["inverter"]["port"]
    )
    site_init.init(tmp_path / "site", new)
    path = tmp_path / "site" / "gateway.toml"
    path.write_text(path.read_text().replace("stopbits = 1\n", 'stopbits = 1\nanswer_life = "200ms"\n'))
    return path


class Terminal:
    """`meterseal commission` on a pty."""

    def __init__(self, config: Path, *arguments: str) -> None:
        line = ["-m", "gateway.cli", "commission", str(config), *arguments]
        self.child = pexpect.spawn(sys.executable, line, encoding="utf-8", timeout=PATIENCE_S, dimensions=(60, 200))

    def answer(self, prompt: str, text: str) -> None:
        self.child.expect(prompt)
        self.child.sendline(text)

    def shown(self, point: str, unit: str) -> str:
        """What the wizard says that a point is, when it asks for what the display shows."""
        self.child.expect(rf"{point} is ([-0-9.]+) {unit}; the display shows")
        return str(self.child.match[1])

    def compare(self) -> None:
        """The display shows what was read."""
        self.child.sendline(self.shown("energy_import", "kWh"))
        self.child.sendline(self.shown("voltage_ln_l1", "V").partition(".")[0])

    def stop(self, press: Callable[[], object]) -> tuple[int, str]:
        """Ctrl-C or Ctrl-D, again where the line editor was not ready for it; then as ``end``."""
        for _ in range(PRESSES):
            press()
            if self.child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=3) == 0:
                return self.end()
        raise AssertionError(f"it goes on: {self.child.before}")

    def end(self) -> tuple[int, str]:
        """The exit code, and what was printed since the last prompt."""
        if not self.child.flag_eof:
            self.child.expect(pexpect.EOF)
        printed = str(self.child.before)
        self.child.close()
        return self.child.exitstatus, printed


def waiting(config: Path) -> CommissioningRecord:
    return submit.read(submit.waiting_path(config.parent / "data", METER))


def kept(config: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((config.parent / "data" / "commissioning" / f"{METER}.json").read_text())
    return found


def test_a_meter_is_put_into_service_with_all_that_can_go_wrong_on_the_way(config: Path, tmp_path: Path) -> None:
    old = config.read_text()
    (picture := tmp_path / "meter.jpg").write_bytes(b"jpeg" * 1000)
    terminal = Terminal(config, METER)
    terminal.answer("who puts export-main into service", "A. Volta")
    energy = terminal.shown("energy_import", "kWh")
    terminal.child.sendline(f"{energy}000")
    terminal.child.expect(re.escape("kWh, not Wh?"))
    terminal.answer("the display shows", f"{energy}000 Wh")
    terminal.child.sendline(terminal.shown("voltage_ln_l1", "V").partition(".")[0])
    terminal.answer("what the meter is there for", "consumption")
    terminal.child.expect("this consumer gives .* it may be wired the wrong way round")
    terminal.answer("does it hang the wrong way round", "yes")
    terminal.answer("limits of a value", "voltage_lm 207 253")
    terminal.child.expect("did you mean 'voltage_ln'")
    terminal.answer("limits of a value", "voltage_ln 207 -")
    terminal.answer("limits of a value", "")
    terminal.answer("serial number on the plate", "21043388")
    terminal.answer("is 21043388 on its plate all the same", "no")
    terminal.child.expect("this is another meter")
    terminal.answer("serial number on the plate", "21043387")
    terminal.answer("number of a seal", "S 1")
    terminal.answer("number of a seal", "")
    terminal.answer("where it stands", "row 2")
    terminal.answer("file of a photo", str(tmp_path / "gone.jpg"))
    terminal.child.expect(r"photo .*gone\.jpg: ")
    terminal.answer("file of a photo", str(picture))
    terminal.answer("file of a photo", "")
    terminal.answer("its name on the pages", "Übergabe")
    terminal.answer("remarks", "")
    terminal.answer("write this", "y")
    code, printed = terminal.end()
    assert (code, "is signed when the gateway starts" in printed) == (0, True), printed
    record = waiting(config)
    assert [(c.point, c.verdict) for c in record.comparisons] == [
        ("energy_import", "agrees"),
        ("voltage_ln_l1", "agrees"),
    ]
    assert {parse_request(c.request).unit for c in record.comparisons} == {1}
    assert (record.identity, record.plate_serial) == ("serial_number=21043387", "21043387")
    assert (record.role, record.reversed, record.by, record.seals) == ("consumption", True, "A. Volta", ("S 1",))
    assert [(photo.name, photo.size) for photo in record.photos] == [("meter.jpg", 4000)]
    (before,) = config.parent.glob("gateway.toml.2*")
    assert before.read_text() == old
    changed = old.replace('role = "generation"', 'role = "consumption"', 1)
    added = '\n  reversed = true\n  limits = {voltage_ln = [207, inf]}\n  label = "Übergabe"'
    added += '\n\n  [[bus.meter]]\n  name = "stack-co2"'
    assert config.read_text() == changed.replace('\n\n  [[bus.meter]]\n  name = "stack-co2"', added)
    assert list((config.parent / "data" / "commissioning").iterdir()) == [
        submit.waiting_path(config.parent / "data", METER)
    ]


@pytest.mark.parametrize("stop", ["ctrl-c", "end of input"])
def test_stopped_in_the_middle_it_goes_on_later(config: Path, stop: str) -> None:
    old = config.read_text()
    terminal = Terminal(config, METER)
    terminal.answer("who puts export-main into service", "A. Volta")
    terminal.compare()
    terminal.child.expect("what the meter is there for")
    code, printed = terminal.stop(terminal.child.sendintr if stop == "ctrl-c" else terminal.child.sendeof)
    assert (code, f"go on with `meterseal commission {config} {METER}`" in printed.replace("\r\n", "")) == (1, True), (
        printed
    )
    assert config.read_text() == old
    assert list(config.parent.glob("gateway.toml.2*")) == []
    assert kept(config)["answers"] == {"by": "A. Volta"}
    again = Terminal(config, METER)
    again.child.expect("3 answers are kept")
    again.child.expect("what the meter is there for")
    assert again.stop(again.child.sendintr)[0] == 1
    assert len(kept(config)["comparisons"]) == 2  # type: ignore[arg-type]


def test_stopped_while_a_meter_is_read_it_is_the_same(config: Path) -> None:
    config.write_text(config.read_text().replace('answer_life = "200ms"', 'answer_life = "3s"'))
    old = config.read_text()
    terminal = Terminal(config, METER)
    terminal.answer("who puts export-main into service", "A. Volta")
    terminal.shown("energy_import", "kWh")
    terminal.child.sendline("1")
    terminal.child.expect("export-main: waiting [12]")
    code, printed = terminal.stop(terminal.child.sendintr)
    assert (code, "the answers are kept" in printed, "Traceback" in printed) == (1, True, False), printed
    assert config.read_text() == old
    assert kept(config)["answers"] == {"by": "A. Volta"}


def test_what_is_declined_at_the_end_is_kept_and_written_when_it_is_not(config: Path) -> None:
    (answers := config.with_name("answers.toml")).write_text('[export-main]\nby = "A. Volta"\nno_display = "none"\n')
    terminal = Terminal(config, METER)
    old = config.read_text()
    terminal.answer("who puts", "A. Volta")
    terminal.compare()
    for prompt, text in (
        ("there for", "generation"),
        ("wrong way", "no"),
        ("limits", ""),
        ("plate", ""),
        ("seal", ""),
        ("stands", ""),
    ):
        terminal.answer(prompt, text)
    for prompt in ("photo", "pages", "remarks"):
        terminal.answer(prompt, "")
    terminal.answer("write this", "n")
    assert terminal.end()[0] == 1
    assert config.read_text() == old
    done = apart("gateway.cli", "commission", config, METER, "--answers", answers)
    assert done.code == 0, done.err
    record = waiting(config)
    assert (record.by, len(record.comparisons), record.remarks) == ("A. Volta", 2, "")


@pytest.mark.parametrize(
    ("meter", "problem"),
    [
        ("export-man", "no meter 'export-man'\n  fix: did you mean export-main?"),
        ("boiler", "no meter 'boiler'\n  fix: give one of export-main, stack-co2, pv-inverter"),
    ],
)
def test_a_meter_that_there_is_not_is_named(config: Path, meter: str, problem: str) -> None:
    done = apart("gateway.cli", "commission", config, meter)
    assert (done.code, problem in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("by = 'A'\n", ""), None),  # whoever gives the command
        (("1520", "1.520"), "export-main, display, energy_import: energy_import: what was read"),
        (("21043387", "21043388"), "export-main, plate_serial: the plate says 21043388"),
        (("generation", "generator"), "export-main, role: 'generator' is none of the answers"),
        (("role = 'generation'\n", "role = 'consumption'\n"), "export-main, reversed: is missing for export-main"),
        (("photos = []", "photos = ['gone.jpg']"), "export-main, photos: photo "),
    ],
)
def test_an_answers_file_does_it_without_a_keyboard_or_says_which_answer_is_wrong(
    config: Path, change: tuple[str, str], problem: str | None
) -> None:
    old = config.read_text()
    text = (
        "by = 'A'\n[export-main]\nrole = 'generation'\nplate_serial = '21043387'\nphotos = []\n"
        "display = { energy_import = '1520', frequency = '50' }\n"
    )
    (answers := config.with_name("answers.toml")).write_text(text.replace(*change))
    done = apart("gateway.cli", "commission", config, "--answers", answers)
    if problem is None:
        assert (done.code, done.err.count("Traceback")) == (0, 0), done.err
        assert [c.point for c in waiting(config).comparisons] == ["energy_import", "frequency"]
        return
    assert (done.code, problem in done.err) == (2, True), done.err
    assert config.read_text() == old
    assert not submit.waiting_path(config.parent / "data", METER).exists()


def test_the_running_gateway_shows_its_polls_takes_the_configuration_and_signs(config: Path) -> None:
    config.write_text(re.sub(r'every = "1?0s"', 'every = "2s"', config.read_text()).partition("[[ledger]]")[0])
    (answers := config.with_name("answers.toml")).write_text(
        "[export-main]\nby = 'A'\nrole = 'consumption'\nreversed = true\nlabel = 'Netz'\nplate_serial = '21043387'\n"
        "display = { energy_import = '1520', frequency = '50' }\n"
    )
    gateway = GatewayProcess(load_config(config))
    gateway.start()
    try:
        done = apart("gateway.cli", "commission", config, "--answers", answers)
        assert (done.code, f"the gateway now uses {config}" in done.out) == (0, True), done.out + done.err
        signed = re.search(r"its record is signed: (export-main/\S+)", done.out)
        shown = apart("gateway.cli", "commission", config, METER, "--json").facts
        assert signed is not None
        assert shown["record"] == signed[1]
        assert (shown["content"]["role"], shown["content"]["reversed"]) == ("consumption", True)
        assert [each["point"] for each in shown["content"]["comparisons"]] == ["energy_import", "frequency"]
        assert not submit.waiting_path(config.parent / "data", METER).exists()
    finally:
        assert gateway.stop() == 0


def test_a_unit_that_a_scan_found_becomes_a_meter_with_its_key(config: Path, meters: Plant) -> None:
    """The inverter is taken out of the configuration and found; it is what somebody says it is."""
    text = config.read_text()
    begin, end = text.index('[[bus]]\nname = "inverters"'), text.index("# A batch is cut")
    config.write_text(text[:begin] + text[end:])
    config.with_name("keys").joinpath("pv-inverter.pem").unlink()
    host, port = "127.0.0.1", meters.lines()["inverter"]["port"]
    unit = FoundUnit(1, "sunspec")
    findings.keep(
        config.parent / "data", ScanResult((FoundLine("modbus-tcp", host=host, tcp_port=port, units=(unit,)),))
    )
    terminal = Terminal(config)
    terminal.answer("address 1 on .*: found, no profile fits it.*which meter", "fond")
    terminal.child.expect(r"there is no fond: did you mean found\?")
    terminal.answer("which meter", "found")
    terminal.answer(r"a device answers at address 1 .*its profile \(none: leave it out\)", "sunspec-inverte")
    terminal.child.expect("sunspec-inverter")
    terminal.answer(r"its profile \(none: leave it out\)", "sunspec-inverter")
    terminal.answer("its name in records, for good", "roof")
    terminal.answer("who puts roof into service", "A. Volta")
    terminal.answer("energy_export is .* Wh; the display shows", "")
    terminal.answer("reason why nothing can be compared", "the inverter has no display")
    for prompt, text in (
        ("there for", "generation"),
        ("wrong way", "no"),
        ("limits", ""),
        ("plate", "PV15-000713"),
        ("seal", ""),
    ):
        terminal.answer(prompt, text)
    for prompt in ("stands", "photo", "pages", "remarks"):
        terminal.answer(prompt, "")
    terminal.answer("write this", "y")
    code, printed = terminal.end()
    assert (code, "made the keys of roof" in printed) == (0, True), printed
    entry = load_config(config).meters["roof"]
    assert (entry.profile, entry.address, entry.role) == ("sunspec-inverter", 1, "generation")
    assert config.with_name("keys").joinpath("roof.pem").exists()
    assert 'meter = "roof"' in config.with_name("trust.toml").read_text()
    assert submit.waiting_path(config.parent / "data", "roof").exists()


def test_an_unknown_profile_is_refused_with_near_names(config: Path) -> None:
    config.write_text(config.read_text().replace("eastron-sdm630", "eastron-sdm360"))
    done = apart("gateway.cli", "commission", config, METER)
    assert done.code == 2
    assert "profile" in done.err
    assert "eastron-sdm630" in done.err


def test_a_port_to_scan_that_is_none_is_asked_for_again(config: Path) -> None:
    terminal = Terminal(config)
    terminal.answer("which meter", "scan")
    terminal.answer("a port, ", "/dev/null")
    terminal.child.expect("/dev/null: not a serial port")
    terminal.child.expect("a port, ")
    assert terminal.stop(terminal.child.sendintr)[0] == 1
