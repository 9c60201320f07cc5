"""Replays of a scenario: which recording each meter shows, and whether it is one of that meter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from firmware_sim.recorded.recording import Recording, read_recording
from firmware_sim.scenario.complaints import Unfit
from firmware_sim.scenario.schema import MeterTable
from firmware_sim.scenario.table import EndTable
from gateway.devices.profile import Profile

BESIDE = frozenset({"name", "profile", "address", "replay", "repeats", "factors", "word_order", "latency_ms"})
"""Keys of a meter that is replayed, beside those of its line: what else there is says what a modelled meter shows."""


def recordings_of(
    meters: Iterable[tuple[str, object]], profiles: Mapping[str, Profile], folder: Path
) -> dict[str, Recording]:
    """The recordings by name of their meter.

    Args:
        meters: where each stands in the file, and its table.
        profiles: by name of the meter.
        folder: to which the files are relative.

    Raises:
        Unfit: a recording of another profile or unit, or a key that does not go with one.
        ScenarioError: a file that is no recording.
    """
    found: dict[str, Recording] = {}
    read: dict[str, Recording] = {}
    for where, row in meters:
        if not isinstance(row, MeterTable):
            continue
        if row.replay is None:
            if "repeats" in row.model_fields_set:
                raise Unfit(f"{where}.repeats", "only a replay repeats", 'add replay = "FILE", or remove it')
            continue
        for key in sorted(row.model_fields_set - BESIDE - set(EndTable.model_fields)):
            name = MeterTable.model_fields[key].alias or key
            problem = "a replayed meter shows what was recorded, and does not have this key"
            raise Unfit(f"{where}.{name}", problem, "remove it, or replay")
        if row.replay not in read:
            read[row.replay] = read_recording(folder / row.replay)
        found[row.name] = recording = read[row.replay]
        head, profile = recording.head, profiles[row.name].name
        if head.profile != profile:
            problem = f"{recording.source} was recorded with the profile {head.profile}, and {row.name} has {profile}"
            raise Unfit(f"{where}.replay", problem, "use the same profile, or a recording of this one")
        if head.unit != row.address:
            problem = f"{recording.source} was recorded of unit {head.unit}, and {row.name} has address {row.address}"
            raise Unfit(f"{where}.replay", problem, f"set address = {head.unit}, or use a recording of that unit")
    return found
