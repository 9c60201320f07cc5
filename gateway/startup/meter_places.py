"""Places of meters: under which name a gateway last read what stands at an address of a line.

A meter's name is in its records and its key: another name is another chain. So the gateway notes, in a file of the data
folder, which meter it reads where; a meter that got another name is reported before the gateway starts with it.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.fieldbus.endpoints import endpoint_of
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.process.file_owner import as_its_folder
from gateway.startup.line_plan import LinePlan
from ledger_client.durable_files import whole_file

log = logging.getLogger("meterseal.agent")


def note(data: Path, specs: Sequence[LineSpec]) -> None:
    """Write down which meter is read at each place; those of lines that are no more are kept."""
    now = _noted(data) | {place: name for spec in specs for place, name in _places(spec)}
    try:
        with whole_file(_path(data)) as file:
            file.write(json.dumps(now, ensure_ascii=False).encode())
        as_its_folder(_path(data))
    except OSError as error:
        log.warning("%s: places of meters cannot be noted (%s)", data, error.strerror)


def with_renamed(data: Path, specs: Sequence[LineSpec], plans: Sequence[LinePlan]) -> list[LinePlan]:
    """The plans with a warning for each meter that was read at its place under a name that is no more."""
    noted, names = _noted(data), {meter.name for spec in specs for meter in spec.meters}
    found: dict[str, list[Message]] = {}
    for spec in specs:
        for place, name in _places(spec):
            if (before := noted.get(place, name)) not in names:
                found.setdefault(spec.name, []).append(Message("meter-renamed", meter=name, before=before, place=place))
    return [replace(plan, warnings=(*plan.warnings, *found.get(plan.line, ()))) for plan in plans]


def _places(spec: LineSpec) -> Iterator[tuple[str, str]]:
    """Place and name of each meter; those of one station differ by their profile."""
    where, shared = endpoint_of(spec), Counter(meter.address for meter in spec.meters)
    for meter in spec.meters:
        profile = f", {meter.profile.name}" if shared[meter.address] > 1 else ""
        yield f"{where}, {meter.address}{profile}", meter.name


def _path(data: Path) -> Path:
    return data / "places.json"


def _noted(data: Path) -> dict[str, str]:
    """What was written; nothing where it cannot be read, as it is only for a warning."""
    try:
        found = json.loads(_path(data).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    whole = isinstance(found, dict) and all(isinstance(name, str) for name in found.values())
    return found if whole else {}
