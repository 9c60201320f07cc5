"""Line specifications: the buses of the configuration as physical lines."""

from __future__ import annotations

from gateway.config.model import Bus, Config, Meter
from gateway.config.place import daily_hours
from gateway.devices.night import Night
from gateway.fieldbus.endpoints import merge
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec

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
        )
        for meter in bus.meter
    )
    return LineSpec(
        name=bus.name,
        type=bus.type,
        meters=meters,
        port=str(config.path.parent / str(bus.port)) if bus.serial else None,
        host=bus.host,
        tcp_port=None if bus.serial else bus.tcp_port,
        baudrate=bus.baudrate,
        parity=bus.parity,
        stopbits=bus.stopbits,
        timeout_ms=bus.timeout,
        answer_life_ms=bus.answer_life,
        tunnel=bus.tunnel,
        shared=bus.shared,
        echo=bus.echo,
        rs485=bus.rs485,
        rs485_before_ms=bus.rs485_before or 0,
        rs485_after_ms=bus.rs485_after or 0,
    )


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
