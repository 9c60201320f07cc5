"""Commissioning record of a configured meter: what the configuration says of it, beside what somebody saw there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.commissioning.record.as_recorded import PLACE
from gateway.commissioning.record.content import CommissioningRecord, Comparison, Photo, Setting
from gateway.config.bus import Bus
from gateway.config.model import Config
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.startup.line_specs import line_spec


def record_of(
    config: Config,
    meter: str,
    *,
    identity: str | None,
    by: str,
    at_ms: int,
    comparisons: Sequence[Comparison] = (),
    plate_serial: str = "",
    seals: Sequence[str] = (),
    position: str = "",
    photos: Sequence[Photo] = (),
    remarks: str = "",
    reversed_phase: str = "",
) -> CommissioningRecord:
    """The record of a meter as it is configured; the rest as of ``CommissioningRecord``.

    ``identity``: as the gateway's polls tell it (``Look.identity``), because it is what every later poll is compared
    with.
    """
    configured, bus = config.configured[meter], _bus_of(config, meter)
    return CommissioningRecord(
        meter=meter,
        identity=identity,
        profile=configured.profile,
        profile_hash=configured.profile_hash,
        settings=_settings(line_spec(config, bus), config, meter),
        role=configured.role,
        by=by,
        at_ms=at_ms,
        ratios=configured.stated,
        reversed=config.meters[meter].reversed,
        comparisons=tuple(comparisons),
        plate_serial=plate_serial,
        seals=tuple(seals),
        position=position,
        photos=tuple(photos),
        remarks=remarks,
        reversed_phase=reversed_phase,
    )


def place_of(config: Config, meter: str) -> Mapping[str, Setting]:
    """Where a configured meter is reached, as the settings of a record say it: line, port or host, address."""
    settings = _settings(line_spec(config, _bus_of(config, meter)), config, meter)
    return {key: settings[key] for key in PLACE if key in settings}


def _bus_of(config: Config, meter: str) -> Bus:
    return next(bus for bus in config.document.bus if any(each.name == meter for each in bus.meter))


def _settings(line: LineSpec, config: Config, meter: str) -> Mapping[str, Setting]:
    """How the meter is reached and read, in the words of gateway.toml; defaults are said too."""
    spec = config.meters[meter]
    settings: dict[str, Setting | None] = {
        "bus": line.name,
        "type": line.type,
        "port": line.port if line.port is not None else line.tcp_port,
        "host": line.host,
        "listen": line.where if line.listen is not None else None,
        "address": spec.address,
        "every": config.periods[meter],
        "word_order": spec.word_order,
    }
    if line.port is not None:
        serial: dict[str, Setting | None] = {
            "baudrate": line.baudrate,
            "parity": line.parity,
            "stopbits": line.stopbits,
        }
        settings |= {**serial, "databits": line.databits if line.databits != 8 else None}
    return {key: value for key, value in settings.items() if value is not None}
