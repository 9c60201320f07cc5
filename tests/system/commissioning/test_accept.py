"""An exchanged meter: no value under the old name until somebody accepts it, by its own number, with a signed event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.accounting.plans.history import history_of
from gateway.cli.demo import finish
from gateway.config.model import Config
from gateway.process import control_socket
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, Event, parse_record
from ledger_client.formats.senml import Quality, Reading
from tests.support.books import check_books
from tests.support.commands import check_audit
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.demo_site import ROOT, GatewayProcess, Plant, make_site, plant, until
from tests.system.machine_contract import answer_keys, published_keys

OLD, NEW = "21043387", "21099999"


def bodies(loaded: Config, kind: str) -> list[Any]:
    store = Database(loaded.database, read_only=True)
    rows = [row for row in store.records.rows(1, 1 << 60) if row.meter == "export-main" and row.kind == kind]
    store.close()
    return [parse_record(row.data).body for row in rows]


def entries(loaded: Config) -> list[str]:
    """Hashes of the entries of accounting; each is of the moment of the new device's first reading."""
    store = Database(loaded.database, read_only=True)
    found = [entry for _, entry in history_of(store).entries]
    store.close()
    first = next(b for b in bodies(loaded, "reading") if any(v.quality & Quality.METER_EXCHANGED for v in b.values))
    assert {entry.from_ms for entry in found} == {first.time_ms}
    return [entry.record.hex() for entry in found]


def exchanged_polls(loaded: Config) -> int:
    return sum(c.missed.get("exchanged", 0) for c in bodies(loaded, "coverage") if isinstance(c, Coverage))


def test_an_exchanged_meter_is_accepted_by_its_number_without_a_restart(tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger)
        gateway = GatewayProcess(loaded)
        gateway.start()
        until("the first reading", lambda: loaded.database.exists() and bodies(loaded, "reading"))
        try:
            done = apart("gateway.cli", "accept", loaded.path, "export-main", "--serial", NEW)
            assert done.code == 1  # the meter was not exchanged
            meters.exchange(OLD, NEW)
            until("polls missed as exchanged", lambda: exchanged_polls(loaded) > 0)
            before = len(bodies(loaded, "reading"))
            wrong = apart("gateway.cli", "accept", loaded.path, "export-main", "--serial", "12345678")
            assert wrong.code == 1
            assert NEW in wrong.err
            right = apart(
                "gateway.cli",
                "accept",
                loaded.path,
                "export-main",
                "--serial",
                NEW,
                "--reason",
                "damaged by lightning",
                "--final",
                "energy_export=81234.5",
                "--initial",
                "energy_export=0",
                "--json",
            )
            assert right.code == 0, right.err
            assert right.facts["new"].endswith(NEW)
            assert answer_keys(right.facts) == published_keys("meterseal accept")
            assert entries(loaded) == right.facts["entries"]
            until("readings of the new meter", lambda: len(bodies(loaded, "reading")) > before + 1)
        finally:
            assert gateway.stop() == 0
        finish.finish(loaded, within_s=30)
        check_audit(loaded)
    commissioned, exchange = (event for event in bodies(loaded, "event") if "identity" in event.fields)
    assert isinstance(commissioned, Event)
    assert (commissioned.name, commissioned.fields["identity"]) == ("commissioned", f"serial_number={OLD}")
    assert isinstance(exchange, Event)
    assert exchange.name == "meter-exchange"
    assert (exchange.fields["old"], exchange.fields["identity"]) == (f"serial_number={OLD}", f"serial_number={NEW}")
    assert exchange.fields["reason"] == "damaged by lightning"
    readings = bodies(loaded, "reading")
    last, first = readings[before - 1], readings[before]
    assert isinstance(last, Reading)
    assert isinstance(first, Reading)
    assert exchange.fields["last"] == {v.name: v.value for v in last.values}
    assert exchange.fields["first"] == {v.name: v.value for v in first.values}
    assert all(v.quality & Quality.METER_EXCHANGED for v in first.values)
    assert not any(v.quality & Quality.METER_EXCHANGED for v in readings[before + 1].values)
    check_books(loaded)


def test_without_a_gateway_there_is_nobody_to_order(tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger)
    loaded.data.mkdir()
    done = apart("gateway.cli", "accept", loaded.path, "export-main", "--serial", NEW)
    assert done.code == 2
    assert "no gateway is running here" in done.err


def test_an_alarm_is_a_signed_event_and_stands_in_the_status(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "demo" / "plant.toml").read_text()
    co2 = text[text.index("  # Carbon dioxide") : text.index("# The PV inverter")]
    fewer = tmp_path / "fewer.toml"
    fewer.write_text(text.replace(co2, ""))
    with embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        with plant(tmp_path / "plant") as meters:
            loaded = make_site(tmp_path / "site", meters, ledger)
            gateway = GatewayProcess(loaded)
            gateway.start()
            until("the first reading", lambda: loaded.database.exists() and bodies(loaded, "reading"))
        try:
            until("the alarm", lambda: alarms(loaded) == {("site-silent", None)})  # who refuses does not sleep
            done = apart("gateway.cli", "status", loaded.path)
            assert done.code == 1
            words = " ".join(done.out.split())
            assert all(word in words for word in ("rs485-1", "inverters", "(since 20")), words
            successor = Plant(tmp_path / "plant", fewer)
            successor.start()
            until("its end, and who is still lost", lambda: alarms(loaded) == {("comms-lost", "stack-co2")})
            successor.close()
        finally:
            assert gateway.stop() == 0
        finish.finish(loaded, within_s=30)
        check_audit(loaded)
    check_books(loaded)


def alarms(loaded: Config) -> set[tuple[str, str | None]]:
    """(code, meter) of what is wrong on the lines."""
    listed = control_socket.give(loaded.data, "alarms")["alarms"]
    codes = ("site-silent", "line-down", "comms-lost")
    return {(x["code"], x["meter"]) for x in listed if x["cleared"] is None and x["code"] in codes}
