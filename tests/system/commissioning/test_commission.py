"""Commissioning records with real processes: signed by the running gateway, or once at the next start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.demo import finish
from gateway.clock import Clock
from gateway.commissioning.record import content
from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.content import CommissioningRecord, Comparison
from gateway.commissioning.record.live_values import look
from gateway.commissioning.record.submit import submit, waiting_path
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import Declined
from gateway.fieldbus.modbus.frames import parse_reply, parse_request
from gateway.startup.line_specs import line_specs
from gateway.storage.database import Database
from ledger_client.formats.record import Event, is_commissioning_record, parse_record
from ledger_client.formats.senml import Reading
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, Plant, make_site, plant, until

METER, SERIAL = "export-main", "serial_number=21043387"
AT_MS = 1_795_000_000_000


@pytest.fixture(scope="module")
def meters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with plant(tmp_path_factory.mktemp("plant")) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, meters: Plant) -> Iterator[Config]:
    with embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        yield make_site(tmp_path / "site", meters, ledger)


def chain(loaded: Config, meter: str = METER) -> list[tuple[str, Any]]:
    """The id and content of each record of a meter, in order."""
    store = Database(loaded.database, read_only=True)
    found = [(row.id, parse_record(row.data).body) for row in store.records.rows(1, 1 << 60) if row.meter == meter]
    store.close()
    return found


def commissioned(loaded: Config, meter: str = METER) -> list[tuple[str, Event]]:
    bodies = chain(loaded, meter)
    return [(name, body) for name, body in bodies if isinstance(body, Event) and body.name == "commissioned"]


def record(loaded: Config, **facts: Any) -> CommissioningRecord:
    given = {"identity": SERIAL, "by": "somebody", "at_ms": AT_MS, "seals": ["A 1"], **facts}
    return record_of(loaded, METER, **given)


def line_of(loaded: Config, meter: str) -> Any:
    return next(spec for spec in line_specs(loaded) if any(each.name == meter for each in spec.meters))


def test_the_running_gateway_signs_it_and_shows_what_is_on_the_wire(site: Config) -> None:
    gateway = GatewayProcess(site)
    gateway.start()
    try:
        seen = look(site, line_of(site, METER), METER, Clock())
        energy = next(point for point in seen.points if point.point == "energy_export")
        assert (seen.identity, energy.unit) == (SERIAL, "kWh")
        assert energy.value is not None
        asked, reply = parse_request(energy.request), parse_reply(energy.answer)
        assert (asked.unit, asked.function) == (reply.shape.unit, reply.shape.function)
        assert asked.key == reply.shape
        compared = Comparison(
            "energy_export",
            energy.unit,
            energy.value,
            "1.2 kWh",
            energy.request,
            energy.answer,
            energy.at_ms,
            "differs",
        )
        given = record(site, comparisons=[compared])
        signed = submit(site, given)
        assert signed.waiting is None
        ((first, event),) = [found for found in commissioned(site) if is_commissioning_record(found[1])]
        assert (first, content.of(METER, event)) == (signed.record, given)
        assert submit(site, given) == signed  # and not once more

        with pytest.raises(Declined, match=f"is of serial_number=7, and the device of this meter is {SERIAL}") as other:
            submit(site, replace(given, identity="serial_number=7"))
        assert "meterseal accept" in other.value.way_out
        with pytest.raises(Declined, match="the running gateway has no meter new-one") as unknown:
            submit(site, replace(given, meter="new-one"))
        assert "meterseal reload" in unknown.value.way_out
        with pytest.raises(Declined, match=r"ct 1, commissioned with 200/5") as otherwise:
            submit(site, replace(given, ratios={"ct": "200/5"}))
        assert "meterseal reload" in otherwise.value.way_out
        sun = look(site, line_of(site, "pv-inverter"), "pv-inverter", Clock())
        for point in sun.points:
            assert point.request[:2] == point.answer[:2]  # the transaction
            assert (point.request[6:8], point.answer[2:4]) == (point.answer[6:8], b"\0\0")
    finally:
        assert gateway.stop() == 0
    assert len([event for _, event in commissioned(site) if is_commissioning_record(event)]) == 1
    finish.finish(site, within_s=30)
    proof, beside = site.path.with_name("p.mseal"), site.path.with_name("p-commissioned.mseal")
    proven = apart("gateway.cli", "prove", site.path, METER, "-o", proof)
    assert proven.code == 0, proven.err
    assert f"wrote {beside}: {first}" in proven.out
    verified = apart("ledger_client.cli", "verify", beside, "--trust", site.trust, "--kind", "event")
    assert verified.code == 0, verified.out
    assert f"device        {SERIAL}" in verified.out
    assert f"request     {asked.frame.hex()}" in verified.out


def test_without_a_gateway_it_waits_and_is_signed_once_before_the_first_reading(site: Config, tmp_path: Path) -> None:
    given = record(site)
    submitted = submit(site, given)
    path = waiting_path(site.data, METER)
    assert (submitted.record, submitted.waiting) == (None, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not site.database.exists()
    seen = look(site, line_of(site, METER), METER, Clock())  # by hand: nobody else is on the line
    energy = next(point for point in seen.points if point.point == "energy_export")
    assert (seen.identity, parse_request(energy.request).key) == (SERIAL, parse_reply(energy.answer).shape)
    assert not site.database.exists()

    held = tmp_path / "held"
    gateway = GatewayProcess(site, {**os.environ, "METERSEAL_HOLD": f"commissioned:1:{held}"}, ready="configuration")
    gateway.start()
    until("the record to be signed and its file to be there", held.exists)
    gateway.kill()
    assert path.exists()
    assert [content.of(METER, event) for _, event in commissioned(site)] == [given]

    gateway = GatewayProcess(site)
    gateway.start()
    try:
        until("its file to be gone", lambda: not path.exists())
        until("a reading", lambda: any(isinstance(body, Reading) for _, body in chain(site)))
    finally:
        assert gateway.stop() == 0
    kinds = [type(body) for _, body in chain(site)]
    ((name, _),) = commissioned(site)  # the device was known from it: none was seen for the first time
    assert [known for known, _ in chain(site)].index(name) < kinds.index(Reading)


def test_what_cannot_be_signed_at_a_start_is_kept_and_told(site: Config) -> None:
    given = record(site)
    gone = replace(given, meter="old-meter")
    submit(site, gone)
    damaged, hurt = waiting_path(site.data, METER), waiting_path(site.data, METER).with_name(f"{METER}.cbor.damaged-1")
    damaged.write_bytes(b"\xa1 not a record")
    gateway = GatewayProcess(site)
    gateway.start()
    try:
        until("the damaged file to be set aside", hurt.exists)
        assert hurt.read_bytes() == b"\xa1 not a record"
        assert not damaged.exists()
        done = apart("gateway.cli", "status", site.path)
        words = " ".join(done.out.split())
        assert done.code == 1
        assert f"problem: old-meter: its commissioning record {waiting_path(site.data, 'old-meter')}" in words
        assert "the file holds no commissioning record that can be read; it is kept as" in words
    finally:
        assert gateway.stop() == 0
    assert waiting_path(site.data, "old-meter").exists()

    text = site.path.read_text()
    site.path.write_text(text.replace(f'"{METER}"', '"old-meter"'))
    renamed = load_config(site.path)
    assert apart("gateway.cli", "keys", site.path, "--make-missing").code == 0
    gateway = GatewayProcess(renamed)
    gateway.start()
    try:
        until("the record to be signed", lambda: not waiting_path(site.data, "old-meter").exists())
    finally:
        assert gateway.stop() == 0
    assert [content.of("old-meter", event) for _, event in commissioned(renamed, "old-meter")] == [gone]
