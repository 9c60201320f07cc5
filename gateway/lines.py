"""Buses of the configuration → physical lines, in the fieldbus's words."""

from __future__ import annotations

from gateway.config import Bus, Config
from gateway.fieldbus.bus import LineSpec, MeterSpec, merge


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


def line_specs(config: Config) -> list[LineSpec]:
    """The physical lines of a configuration: several buses of one endpoint are one. Raises FieldbusError."""
    return merge([line_spec(config, bus) for bus in config.document.bus])
