"""`meterseal exchange` on a running gateway: refused, corrected and stopped at the terminal, signed as one event."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect

from gateway.cli.demo import finish
from gateway.config.model import Config
from ledger_client.formats.senml import Quality
from tests.support.books import check_books
from tests.support.commands import Answer, check_audit
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.commissioning.test_accept import NEW, OLD, bodies, entries, exchanged_polls
from tests.system.demo_site import PATIENCE_S, GatewayProcess, make_site, plant, until
from tests.system.machine_contract import answer_keys, published_keys

ANSWERS = f"""[export-main]
by = "R. Hertz"
serial = "00{NEW}"
final = {{ energy_export = "81 234,5" }}
initial = {{ energy_export = "0" }}
seals = ["S 3"]
reason = "damaged by lightning"
"""


def by_file(loaded: Config) -> Answer:
    path = loaded.path.with_name("answers.toml")
    path.write_text(ANSWERS)
    return apart("gateway.cli", "exchange", loaded.path, "export-main", "--answers", path, "--json")


def by_hand(loaded: Config) -> None:
    """Somebody mistypes the serial number, then two registers, and in the end does not sign."""
    line = ["-m", "gateway.cli", "exchange", str(loaded.path), "export-main"]
    child = pexpect.spawn(sys.executable, line, encoding="utf-8", timeout=PATIENCE_S, dimensions=(60, 200))
    dialogue = [
        (f"{NEW} answers in place of .*{OLD}.*who puts export-main into service", "R. Hertz"),
        ("serial number on the plate", "12345678"),
        ("(?s)reports .*, not 12345678.*serial number on the plate", f"00{NEW}"),
        ("energy_import in kWh: last register .* showed [0-9.]+ last", ""),
        ("energy_export in kWh: last register", "1"),
        ("energy_export in kWh: first register", "0"),
        ("(?s)the final register 1 is below .*energy_export in kWh: last register", "81 234,5"),
        ("energy_export in kWh: first register", "zero"),
        ("(?s)zero.*energy_export in kWh: first register", "0,0"),
        ("number of a seal", "S 3"),
        ("number of a seal", ""),
        ("reason of the exchange", "damaged by lightning"),
        ("sign this", "n"),
    ]
    for prompt, answer in dialogue:
        child.expect(prompt)
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, "export-main: stopped; nothing is signed" in child.before) == (1, True), child.before


def test_one_event_holds_both_devices_and_what_somebody_read_on_them(tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger)
        gateway = GatewayProcess(loaded)
        gateway.start()
        until("the first reading", lambda: loaded.database.exists() and bodies(loaded, "reading"))
        try:
            refused = by_file(loaded)
            assert (refused.code, "the known device still answers" in refused.err) == (1, True)
            meters.exchange(OLD, NEW)
            until("polls missed as exchanged", lambda: exchanged_polls(loaded) > 0)
            before = len(bodies(loaded, "reading"))
            by_hand(loaded)
            assert not [event for event in bodies(loaded, "event") if event.name == "meter-exchange"]
            done = by_file(loaded)
            assert done.code == 0, done.err
            assert answer_keys(done.facts) == published_keys("meterseal exchange")
            assert entries(loaded) == done.facts["entries"]
            until("readings of the new meter", lambda: len(bodies(loaded, "reading")) > before + 1)
        finally:
            assert gateway.stop() == 0
        finish.finish(loaded, within_s=30)
        check_audit(loaded)
    (event,) = (event for event in bodies(loaded, "event") if event.name == "meter-exchange")
    fields = event.fields
    assert (fields["old"], fields["identity"]) == (f"serial_number={OLD}", f"serial_number={NEW}")
    assert (fields["by"], fields["seals"], fields["reason"]) == ("R. Hertz", ["S 3"], "damaged by lightning")
    ((point, register),) = fields["registers"].items()
    assert (point, register["unit"], Quality(register["quality"])) == ("energy_export", "kWh", Quality.MANUAL)
    assert (str(register["final"]), str(register["initial"])) == ("81234.5", "0")
    readings = bodies(loaded, "reading")
    assert fields["last"] == {v.name: v.value for v in readings[before - 1].values}
    assert fields["first"] == {v.name: v.value for v in readings[before].values}
    check_books(loaded)
