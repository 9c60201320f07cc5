"""Trial of a profile: the plan of its reads, and one poll of a simulated device with this register map.

The simulator is another program that shares only the profile: `meterseal-sim` serves the device on a pseudo-terminal or
a TCP port, the gateway polls it over that line as `meterseal read` does, and each value is compared with the one that
the simulator packed into its answer. This shows that a profile is sound, not that a register map is right.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.acquisition.line_use import poll_by_hand
from gateway.acquisition.poller import Poller
from gateway.cli.demo.balance import agrees, read_answers
from gateway.cli.demo.parts import Place, start, wait_for
from gateway.clock import Clock
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.devices.points import UNRECORDED, Profile
from gateway.devices.profile import catalog, load_profile
from gateway.errors import GatewayError
from gateway.startup.line_plan import LinePlan, line_plan
from gateway.startup.line_specs import line_specs
from ledger_client.formats.senml import Quality, Reading

_METER = "meter"
_RATIO = 40
"""Each configured transformer ratio of the trial."""
_COUNTERS = ("energy_import_kwh", "energy_export_kwh", "reactive_energy_import_kvarh", "reactive_energy_export_kvarh")
_START = 1000
"""Where they start: a counter at 0 means in some devices that there is none."""
_NUMBER = "000000000001"


@dataclass(frozen=True, slots=True)
class Difference:
    """A point whose value is not the one that the simulator sent."""

    point: str
    sent: tuple[Any, ...]
    read: Any


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The simulated poll. ``why_not``: why there was none, in the simulator's words; ``missed``: why it gave no
    reading. Points ``without`` a value are those that the simulator has no quantity for."""

    why_not: str = ""
    missed: str = ""
    agreed: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    differs: tuple[Difference, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing that was read is wrong, and nothing is missing."""
        return not (self.missed or self.differs or self.unread)


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found of a profile that is within the rules."""

    profile: Profile
    plan: LinePlan
    read_back: ReadBack

    @property
    def ok(self) -> bool:
        """Its reads can be made, and the simulated poll was right, if there was one."""
        return not self.plan.problems and self.read_back.ok


def tried(ref: str) -> Trial:
    """Try a profile, a file or a name of the catalog.

    Raises:
        ProfileError: the profile breaks a rule.
    """
    profile = load_profile(ref)
    where = ref if ref in catalog() else str(Path(ref).resolve())
    with tempfile.TemporaryDirectory(prefix="meterseal-profile-") as folder:
        planned = _config(Path(folder) / "plan", profile, where, _line(profile, simulated=False))
        (spec,) = line_specs(planned)
        plan = line_plan(spec)
        plan = replace(plan, wire=plan.wire.replace(str(spec.port), "serial line"))
        return Trial(profile, plan, _read_back(Path(folder), profile, where))


def _line(profile: Profile, *, simulated: bool) -> dict[str, Any]:
    """The keys of the bus: the line that the profile describes. A pseudo-terminal keeps no parity."""
    if profile.protocol == "hj212":
        return {"type": "hj212", "listen": "127.0.0.1:65535"}
    if profile.protocol == "obis":
        return {"type": "p1", "port": "line"}
    if profile.direct or (profile.protocol == "sunspec" and profile.serial is None):
        return {"type": "modbus-tcp", "host": "127.0.0.1", "port": 502}
    line = {"type": "dlt645" if profile.protocol == "dlt645" else "modbus-rtu", "port": "line"}
    return line | ({"parity": "N"} if simulated else {})


def _address(profile: Profile) -> int | str:
    if profile.protocol == "dlt645":
        return _NUMBER
    if profile.protocol == "hj212":
        return "TRIAL"
    if profile.protocol == "obis":
        return "0-1" if any("-n:" in point.at.where for point in profile.points) else "0-0"
    return profile.default_address if 1 <= profile.default_address <= 247 else 1


def _config(folder: Path, profile: Profile, where: str, line: Mapping[str, Any], **more: Any) -> Config:
    """A configuration of one meter that has this profile, with ``more`` keys."""
    every_ms = max(60_000, 2 * (profile.interval_ms or 0))
    meter: dict[str, Any] = {"name": _METER, "profile": where, "address": _address(profile), "every": f"{every_ms}ms"}
    meter |= dict.fromkeys(sorted(profile.factors), _RATIO)
    meter |= more
    if profile.ask:
        meter["word_order"] = "big"
    folder.mkdir()
    path = folder / "gateway.toml"
    path.write_text(f'[gateway]\nid = "trial"\n\n[[bus]]\nname = "trial"\n{_keys(line)}\n[[bus.meter]]\n{_keys(meter)}')
    return load_config(path)


def _keys(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items())


def _scenario(profile: Profile, where: str, line: Mapping[str, Any]) -> str:
    """A scenario of the simulator with this device on that line."""
    meter: dict[str, Any] = {"name": _METER, "profile": where, "address": _address(profile)}
    meter |= {"serial": _NUMBER if profile.protocol == "dlt645" else "1", **dict.fromkeys(_COUNTERS, _START)}
    over_tcp = line["type"] == "modbus-tcp"
    serves = {**line, "name": "line", "port": 0 if over_tcp else "line"}
    if not over_tcp:
        serves["emulate"] = False
    factors = "".join(f"{name} = {_RATIO}\n" for name in sorted(profile.factors))
    factors = f"[bus.meter.factors]\n{factors}" if factors else ""
    return f"[[bus]]\n{_keys(serves)}\n[[bus.meter]]\n{_keys(meter)}{factors}"


def _read_back(folder: Path, profile: Profile, where: str) -> ReadBack:
    if profile.protocol in ("hj212", "obis"):
        return ReadBack(why_not="a device that sends by itself is simulated by its kind, not by a profile")
    line, place = _line(profile, simulated=True), Place.begin(folder / "simulated")
    scenario = place.folder / "scenario.toml"
    scenario.write_text(_scenario(profile, where, line))
    with ExitStack() as children:
        arguments = ("run", scenario, "--dir", place.folder, "--log", place.answers, "--ready", place.ready)
        simulator = start(children, place, "simulator", "firmware_sim.cli", *arguments)
        try:
            found = wait_for(
                "simulator", place, "simulator", simulator, lambda: place.ready.exists() and place.ready.read_text()
            )
        except GatewayError:
            if simulator.returncode != 2:
                raise
            return ReadBack(why_not=_refusal(place.logs / "simulator.log"))
        line["port"] = json.loads(found)["lines"]["line"]["port"]
        points = [point.name for point in profile.points if point.kind not in UNRECORDED]
        return _polled(_config(folder / "site", profile, where, line, points=points), place.answers)


def _refusal(log: Path) -> str:
    """What the simulator said last: why it does not serve this device, and the fix."""
    complaint = log.read_text(errors="replace").rpartition("meterseal-sim: ")[2]
    return "; ".join(line.strip() for line in complaint.splitlines() if line.strip())


def _polled(config: Config, answers: Path) -> ReadBack:
    """One poll over the line, compared with the simulator's log."""
    (spec,), clock = line_specs(config), Clock()
    (poll,) = asyncio.run(poll_by_hand(config, spec, [_METER], clock))
    if not poll.answers:
        return ReadBack(missed=str(poll.missed or "timeout"))
    reading = Poller(config.meters, clock, lambda _: None, config.profiles).reading(poll)
    answered: dict[str, list[Any]] = defaultdict(list)
    for answer in read_answers(answers):
        for name, value in answer.values.items():
            answered[name].append(value)
    return compared(reading, answered)


def compared(reading: Reading, answered: Mapping[str, Sequence[Any]]) -> ReadBack:
    """What was read beside what the simulator says that it sent, by point: twice where a block was read twice."""
    agreed, without, unread = list[str](), list[str](), list[str]()
    differs: list[Difference] = []
    for value in reading.values:
        sent = tuple(answered.get(value.name, ()))
        if value.quality & Quality.NOT_FOUND:
            without.append(value.name)
        elif not sent:
            unread.append(value.name)
        elif not agrees({value.name: list(sent)}, {value.name: value.value}):
            differs.append(Difference(value.name, sent, value.value))
        else:
            (without if value.value is None else agreed).append(value.name)
    return ReadBack(agreed=tuple(agreed), without=tuple(without), differs=tuple(differs), unread=tuple(unread))
