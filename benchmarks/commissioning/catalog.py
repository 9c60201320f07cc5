"""Does the gateway read every device of the catalog as it is? Simulator → real line → value, for every point.

One simulated device for each profile of Modbus, SunSpec (one a model) and DL/T 645, one poll of all of its points on a
real pseudo-terminal or socket. ``wrong``: values that are not within one last digit of what the simulator's log says a
right reader finds; ``beyond_limits``: questions, put or planned in any shape, that are longer than a profile allows, or
ask for registers that are neither points nor within its ranges and gaps. mbpoll (ten profiles and more) and pysunspec2
(all SunSpec devices) read the same devices, whose values stand still. This shows the path from registers to values, not
that a profile is true of its device: ``provenance`` says how well each point is supported.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.commissioning import catalog_judge as judge
from benchmarks.commissioning import catalog_readers as readers
from benchmarks.commissioning.catalog_plant import BY_MBPOLL, Device, devices, plant, write_gateway

SMALLEST = ({"most": 3},)


def run(most: int = 0, seed: int = 1) -> dict[str, object]:
    """``most``: so many profiles of each protocol, and so many models of each (0: all). ``seed``: of the plant."""
    begun, found = time.monotonic(), devices(most)
    with tempfile.TemporaryDirectory() as name, plant(folder := Path(name), found, seed) as running:
        read = readers.by_gateway(write_gateway(folder, found, running.tcp_port))
        asked = judge.answers(running.log)
        others = _others(found, running.tcp_port, read)
    true = judge.truth(asked)
    profiles = {device.profile.name: device.profile for device in found}
    wrong = {
        device.name: names for device in found if (names := judge.wrong(device, read[device.name], true[device.name]))
    }
    plans = [read for device in found for read in judge.planned(device)]
    beyond = judge.beyond(found, [*asked, *plans])
    return {
        "profiles": len(profiles),
        "devices": len(found),
        "points": sum(len(device.points) for device in found),
        "without_value": sum(value is None for device in found for value in read[device.name].values()),
        "wrong": sum(map(len, wrong.values())),
        "wrong_points": wrong,
        "questions": len(asked),
        "planned": len(plans),
        "beyond_limits": len(beyond),
        "beyond": beyond,
        "independent": others,
        "provenance": judge.grades(profiles.values()),
        "seconds": time.monotonic() - begun,
    }


def _others(found: Sequence[Device], port: int, read: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    """What others read of the devices, beside what the gateway read."""
    sunspec = [device for device in found if device.profile.protocol == "sunspec"]
    return {
        "mbpoll": _compared(readers.chosen(found, BY_MBPOLL), port, read, readers.by_mbpoll, readers.differing),
        "pysunspec2": _compared(sunspec, port, read, readers.by_pysunspec2, readers.differs_in_sunspec),
    }


def _compared(
    found: Sequence[Device],
    port: int,
    read: Mapping[str, Mapping[str, Any]],
    reader: Callable[[Device, int], Mapping[str, Any]],
    differing: Callable[[Device, Mapping[str, Any], Mapping[str, Any]], list[str]],
) -> dict[str, object]:
    points, wrong = 0, {}
    for device in found:
        theirs = reader(device, port)
        points += len(theirs)
        if names := differing(device, theirs, read[device.name]):
            wrong[device.name] = names
    return {
        "profiles": len({device.profile.name for device in found}),
        "devices": len(found),
        "points": points,
        "wrong": sum(map(len, wrong.values())),
        "wrong_points": wrong,
    }
