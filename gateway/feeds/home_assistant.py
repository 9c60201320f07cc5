"""Device messages for Home Assistant's MQTT discovery: one a meter, with an entity for each point. Pure.

Home Assistant's word for a value is its unit and its device class; it refuses a class with a unit that the class does
not have, and it converts units by class for display. So a unit is only written as Home Assistant writes it, never
converted, and a class is given where class and unit are of one kind beyond doubt. ``total_increasing`` is said of
counters alone: an energy that may fall, or falls to 0 each night, would be summed up wrongly.

Source: Home Assistant 2026.2, ``components/sensor/const.py``, and its documentation of the integration MQTT.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from gateway.devices.points import Point
from gateway.feeds.json_messages import Topics
from gateway.verdicts import VERDICTS

PREFIX = "homeassistant"
QUALITY = "quality"
"""The entity of a reading's worst quality; no point of a flat message has this name."""
LONGEST_STATE = 255
"""Characters of a state; Home Assistant takes no longer one."""
UP, DOWN, UNKNOWN = b"1", b"0", b"unknown"
"""Whether a meter answers: as the metric ``meterseal_meter_up`` has it; unknown before its first poll."""

_UNITS: Mapping[str, tuple[str | None, str | None]] = {
    "W": ("W", "power"),
    "kW": ("kW", "power"),
    "var": ("var", "reactive_power"),
    "kvar": ("kvar", "reactive_power"),
    "VA": ("VA", "apparent_power"),
    "kVA": ("kVA", "apparent_power"),
    "Wh": ("Wh", "energy"),
    "kWh": ("kWh", "energy"),
    "J": ("J", "energy"),
    "varh": ("varh", "reactive_energy"),
    "kvarh": ("kvarh", "reactive_energy"),
    "V": ("V", "voltage"),
    "mV": ("mV", "voltage"),
    "A": ("A", "current"),
    "mA": ("mA", "current"),
    "Hz": ("Hz", "frequency"),
    "deg": ("°", None),
    "/": (None, None),
    "count": (None, None),
    "/100": ("%", None),
    "Cel": ("°C", "temperature"),
    "%RH": ("%", "humidity"),
    "ug/m3": ("μg/m³", None),
    "kg/m3": ("kg/m³", None),
    "Pa": ("Pa", "pressure"),
    "hPa": ("hPa", "pressure"),
    "m3/s": ("m³/s", "volume_flow_rate"),
    "l/s": ("L/s", "volume_flow_rate"),
    "m/s": ("m/s", "speed"),
    "m3": ("m³", "volume"),
    "l": ("L", "volume"),
    "kg": ("kg", "weight"),
    "m2": ("m²", "area"),
    "s": ("s", "duration"),
    "min": ("min", "duration"),
    "h": ("h", "duration"),
    "ms": ("ms", "duration"),
}
"""By SenML unit: Home Assistant's, and the device class that has it. A kelvin has no class, for it may be a difference,
and Home Assistant would show it less 273.15."""

_GASES: Mapping[tuple[str, str], str] = {
    ("co2", "ppm"): "carbon_dioxide",
    ("co", "ppm"): "carbon_monoxide",
    ("no", "ug/m3"): "nitrogen_monoxide",
    ("no2", "ug/m3"): "nitrogen_dioxide",
    ("so2", "ug/m3"): "sulphur_dioxide",
    ("voc", "ug/m3"): "volatile_organic_compounds",
}
"""Device class by gas and SenML unit; of other units Home Assistant has no such class."""

_COUNTED = ("energy", "reactive_energy", "volume")
"""Classes of which Home Assistant takes no ``measurement``."""
_COUNTERS = (*_COUNTED, "weight", "duration")
"""Classes of which it takes ``total_increasing``."""


@dataclass(frozen=True, slots=True)
class Device:
    """A meter as Home Assistant is to know it. ``points``: by the name that they have in flat messages."""

    vendor: str
    model: str
    points: Mapping[str, Point]


def config_topic(gateway: str, meter: str) -> str:
    """Where a meter's device message is retained."""
    return f"{PREFIX}/device/{_device_id(gateway, meter)}/config"


def device_message(
    topics: Topics, gateway: str, meter: str, device: Device, former: Iterable[tuple[str, str]]
) -> bytes:
    """A meter's device message.

    Args:
        topics: where the feed publishes.
        gateway: the gateway's id.
        meter: its name.
        device: what is known of it.
        former: name and platform of entities that were announced before; those that are no more are removed.
    """
    ours = _device_id(gateway, meter)
    entities = {name: _entity(ours, name, point) for name, point in device.points.items()}
    entities[QUALITY] = _quality(ours, topics.meter(meter))
    gone = {name: {"platform": platform} for name, platform in former if name not in entities}
    message = {
        "device": {
            "identifiers": [ours],
            "name": meter,
            "manufacturer": device.vendor,
            "model": device.model,
        },
        "origin": {"name": "Meterseal", "sw_version": version("meterseal")},
        "availability": [
            {"topic": topics.status, "value_template": "{{ 'online' if value_json.online else 'offline' }}"},
            {
                "topic": topics.up(meter),
                "value_template": f"{{{{ 'online' if value == '{UP.decode()}' else 'offline' }}}}",
            },
        ],
        "availability_mode": "all",
        "state_topic": topics.meter(meter),
        "qos": 1,
        "components": {**entities, **dict(sorted(gone.items()))},
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def announced(data: bytes) -> list[tuple[str, str]]:
    """Name and platform of the entities in a device message that a broker has retained; none where it is not one."""
    try:
        entities = json.loads(data)["components"]
        return [(str(name), str(entity["platform"])) for name, entity in entities.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _device_id(gateway: str, meter: str) -> str:
    return f"meterseal-{hashlib.sha256(f'{gateway}/{meter}'.encode()).hexdigest()}"


def _entity(device: str, name: str, point: Point) -> dict[str, Any]:
    entity: dict[str, Any] = {"platform": "sensor", "unique_id": f"{device}-{name}", "name": _label(name)}
    value = f"(value_json|default({{}})).get('{name}')"
    if point.at.form == "switch":
        words = "{true:'ON',false:'OFF'}"
        return {**entity, "platform": "binary_sensor", "value_template": f"{{{{ {words}.get({value}) }}}}"}
    if point.kind not in ("gauge", "counter") or point.at.form == "text":
        template = f"{{{{ ({value}|string)[:{LONGEST_STATE}] }}}}"
        return {**entity, "value_template": template, "entity_category": "diagnostic"}
    entity["value_template"] = f"{{{{ {value} }}}}"
    unit, device_class = _UNITS.get(point.unit or "/", (point.unit, None))
    device_class = device_class or _class_by_name(name, point.unit)
    state_class: str | None = "measurement"
    if point.kind == "counter":
        device_class, state_class = device_class if device_class in _COUNTERS else None, "total_increasing"
    elif device_class in _COUNTED:
        state_class = None
    facts = {"unit_of_measurement": unit, "device_class": device_class, "state_class": state_class}
    return entity | {key: fact for key, fact in facts.items() if fact is not None}


def _class_by_name(name: str, unit: str | None) -> str | None:
    if name.startswith("power_factor"):
        return "power_factor"
    for end in ("_avg", "_min", "_max"):
        name = name.removesuffix(end)
    return _GASES.get((name, unit or ""))


def _quality(device: str, topic: str) -> dict[str, Any]:
    """The worst quality of a reading; its attributes name the record that proves it."""
    keys = "['time','record','not_recorded']"
    return {
        "platform": "sensor",
        "unique_id": f"{device}-{QUALITY}",
        "name": _label(QUALITY),
        "entity_category": "diagnostic",
        "device_class": "enum",
        "options": list(VERDICTS),
        "value_template": f"{{{{ (value_json|default({{}})).get('{QUALITY}') }}}}",
        "json_attributes_topic": topic,
        "json_attributes_template": "{{ dict((value_json|default({})).items()|selectattr(0,'in',"
        + keys
        + "))|tojson }}",
    }


def _label(name: str) -> str:
    words = name.removeprefix("x_").replace("_", " ")
    return words[:1].upper() + words[1:]
