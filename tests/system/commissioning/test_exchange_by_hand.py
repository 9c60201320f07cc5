"""Exchange of a meter that tells no serial number: by the commands, signed as by hand, and an audit counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.cli.demo import finish
from gateway.cli.terminal.common import user
from gateway.config.model import Config
from gateway.process import control_socket
from ledger_client.formats.senml import Quality
from tests.support.books import check_books
from tests.support.commands import Answer, audit_exports
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.commissioning.test_accept import bodies
from tests.system.demo_site import GatewayProcess, make_site, plant, until

METER = "export-main"
ANSWERS = f"""[{METER}]
by = "R. Hertz"
serial = "4712"
since_fall = true
final = {{ energy_export = "4 900" }}
initial = {{ energy_export = "7,0" }}
reason = "damaged by lightning"
"""


def order(name: str, loaded: Config, *words: str) -> Answer:
    return apart("gateway.cli", name, loaded.path, METER, *words)


def by_file(loaded: Config, text: str) -> Answer:
    path = loaded.path.with_name("answers.toml")
    path.write_text(text)
    return order("exchange", loaded, "--answers", str(path), "--json")


def fallen(loaded: Config) -> bool:
    return any(alarm["code"] == "counter-back" for alarm in control_socket.give(loaded.data, "alarms")["alarms"])


def exchanges(loaded: Config) -> list[dict[str, Any]]:
    return [dict(event.fields) for event in bodies(loaded, "event") if event.name == "meter-exchange"]


def test_a_meter_without_a_number_is_exchanged_by_hand(tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger)
        profile = tmp_path / "site" / "eastron-sdm630.toml"
        profile.write_text(profile.read_text().replace('identity = ["serial_number"]', ""))
        gateway = GatewayProcess(loaded)
        gateway.start()
        until("the first reading", lambda: loaded.database.exists() and bodies(loaded, "reading"))
        try:
            refused = order("accept", loaded, "--serial", "4712")
            assert (refused.code, f"meterseal exchange CONFIG {METER}" in refused.err) == (1, True)
            meters.change(
                "energy_import_kwh = 1520.0",
                "energy_import_kwh = 1.5",
                "energy_export_kwh = 4821.5",
                "energy_export_kwh = 7.25",
            )
            until("the fall of its counters", lambda: fallen(loaded))
            words = " ".join(apart("gateway.cli", "status", loaded.path).out.split())
            assert f"if the meter was exchanged: `meterseal exchange CONFIG {METER}`" in words
            for change, why in (
                (("since_fall = true", ""), "since_fall: is missing"),
                (('reason = "damaged by lightning"', ""), "reason: is missing"),
                (('"4 900"', '"4 800"'), "the final register 4800 is below 48"),
                (('"7,0"', '"7,5"'), "the initial register 7.5 is above 7.2"),
            ):
                wrong = by_file(loaded, ANSWERS.replace(*change))
                assert (wrong.code, why in wrong.err) == (2, True), wrong.err
            undecided = order("accept", loaded, "--by-hand", "--reason", "age")
            assert (undecided.code, "--since-fall, or --from-now" in undecided.err) == (1, True)
            assert not exchanges(loaded)
            done = by_file(loaded, ANSWERS)
            assert done.code == 0, done.err
            assert len(done.facts["entries"]) == 1
            before = len(bodies(loaded, "reading"))
            no_reason = order("accept", loaded, "--by-hand", "--json")
            assert (no_reason.code, "needs its reason" in no_reason.err) == (1, True)
            second = order("accept", loaded, "--by-hand", "--reason", "age", "--json")
            assert second.code == 0, second.err
            until("readings of the second one", lambda: len(bodies(loaded, "reading")) > before + 1)
        finally:
            assert gateway.stop() == 0
        finish.finish(loaded, within_s=30)
        audited = audit_exports(loaded)
    check_books(loaded)
    first, second_one = exchanges(loaded)
    fell = next(b for b in bodies(loaded, "reading") if any(v.quality & Quality.COUNTER_RESET for v in b.values))
    assert (first["by-hand"], first["since"], first["plate"], first["by"]) == (True, fell.time_ms, "4712", "R. Hertz")
    assert (first["old"], first["identity"]) == ("", "")
    assert first["first"] == {v.name: v.value for v in fell.values}
    assert first["last"]["energy_export"] > 4821
    assert (second_one["by-hand"], "since" in second_one) == (True, False)
    assert first["user"] == second_one["user"] == user()
    newest = [b for b in bodies(loaded, "reading") if all(v.quality & Quality.METER_EXCHANGED for v in b.values)]
    assert len(newest) == 1
    (account,) = (each for each in audited["meters"] if each["name"] == METER)
    assert (audited["exit"], account["exchanged"], account["exchanged_by_hand"]) == (0, 2, 2)
    (note,) = (note for note in audited["notes"] if f"says R. Hertz / {user()}: " in note)
    assert "was exchanged by hand" in note
    assert "damaged by lightning" in note
