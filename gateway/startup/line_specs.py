"""Line specifications: the buses of the configuration as physical lines."""

from __future__ import annotations

from datetime import timedelta, timezone, tzinfo

from gateway.config.bus import Bus, Meter
from gateway.config.bus_types import TYPES
from gateway.config.model import Config
from gateway.config.place import daily_hours
from gateway.config.serial_settings import serial_settings
from gateway.config.wire_texts import network, sent_bytes, source_zone
from gateway.errors import ConfigError
from gateway.fieldbus.endpoints import merge
from gateway.fieldbus.wire.line_spec import CLOCK_LIMIT_MS, LineSpec, MeterSpec
from gateway.messages.message import Message
from gateway.night import Night
from ledger_client.transport.access import Access, AccessError

CHINA = timezone(timedelta(hours=8))
"""The only zone of the country that HJ 212 is a standard of."""
LOOPBACK = ("127.0.0.0/8", "::1")
"""Who can connect to a listener on the loopback anyway."""
APART_MS, MOST_LAG_MS = 2, 200


def line_spec(config: Config, bus: Bus) -> LineSpec:
    """One bus of the configuration in the fieldbus's words."""
    meters = tuple(
        MeterSpec(
            name=meter.name,
            profile=config.profiles[meter.name],
            address=meter.address,
            period_ms=meter.every,
            points=config.profiles[meter.name].select(meter.points or None),
            factors=meter.factors,
            timeout_ms=meter.timeout,
            night=_night(config, meter),
            password=meter.password,
            clock_limit_ms=meter.clock_limit or CLOCK_LIMIT_MS,
        )
        for meter in bus.meter
    )
    _addresses_known(config, bus)
    serial = serial_settings(config.path, bus, config.profiles)
    access, server = bus_access(config, bus), bus.device_server
    return LineSpec(
        name=bus.name,
        type=bus.type,
        meters=meters,
        port=str(config.path.parent / str(bus.port)) if bus.serial and not server else None,
        host=server[0] if server else bus.host,
        tcp_port=server[1] if server else bus.tcp_port,
        rfc2217=server is not None,
        ca=access.ca,
        cert=access.cert,
        key=access.key,
        listen=bus.listens_on,
        networks=tuple(map(network, bus.from_ or LOOPBACK)) if bus.listen else (),
        hello=bus.hello_bytes,
        heartbeat=tuple(map(sent_bytes, bus.heartbeat or ())),
        timezone=_zone(config, bus),
        baudrate=serial.baudrate,
        parity=serial.parity,
        stopbits=serial.stopbits,
        databits=bus.databits or TYPES[bus.type].databits,
        timeout_ms=bus.timeout,
        answer_life_ms=bus.answer_life,
        tunnel=bus.tunnel,
        shared=bus.shared,
        passive=bus.passive,
        echo=bus.echo,
        rs485=bus.rs485,
        rs485_before_ms=bus.rs485_before or 0,
        rs485_after_ms=bus.rs485_after or 0,
    )


def bus_access(config: Config, bus: Bus) -> Access:
    """The files with which a bus is entered. Raises ConfigError: a systemd credential that there is not."""
    try:
        return bus.access(config.path.parent)
    except AccessError as error:
        raise ConfigError(config.path, f"bus {bus.name!r}, {error.key}", error.what) from None


def _addresses_known(config: Config, bus: Bus) -> None:
    """Where the registers of a SunSpec device stand is asked on the wire: a bus that asks nothing cannot know."""
    for meter in bus.meter if bus.passive else ():
        profile = config.profiles[meter.name]
        if profile.protocol == "sunspec":
            sentence = Message("config-passive-sunspec", profile=profile.name)
            raise ConfigError(config.path, f"bus {bus.name!r}, meter {meter.name!r}, profile", sentence)


def _zone(config: Config, bus: Bus) -> tzinfo | None:
    """Of the times in messages of sources that speak of local ones: the bus's, else the site's, else China's."""
    if bus.type != "hj212":
        return None
    if bus.timezone is not None:
        return source_zone(bus.timezone)
    return config.zone if "timezone" in config.document.gateway.model_fields_set else CHINA


def _night(config: Config, meter: Meter) -> Night | None:
    """When a meter that may sleep may do so by the clock; None where neither hours nor a place are given."""
    site = config.document.gateway
    place = (site.latitude, site.longitude) if site.latitude is not None and site.longitude is not None else None
    hours = daily_hours(meter.sleeps) if meter.sleeps is not None else None
    if not config.profiles[meter.name].may_sleep or (hours is None and place is None):
        return None
    return Night(config.zone, hours, place)


def line_specs(config: Config) -> list[LineSpec]:
    """The physical lines of a configuration: several buses of one endpoint are one. Raises FieldbusError."""
    return merge([line_spec(config, bus) for bus in config.document.bus])


def lag_ms(place: int, spec: LineSpec) -> int:
    """How long behind their due times a line begins its polls, by its place among all lines.

    Every poll of a period is due in the same moment: a hundred lines that then asked at once would keep the event loop
    from everything else. At most a tenth of the line's shortest period.
    """
    shortest_ms = min(meter.period_ms for meter in spec.meters)
    return place * APART_MS % max(1, min(MOST_LAG_MS, shortest_ms // 10))
