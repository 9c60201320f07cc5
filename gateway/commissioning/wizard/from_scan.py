"""Results of scans as the buses of a new site: the files that ``meterseal scan --json`` wrote, put together."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.commissioning.scan.found import Candidate, FoundLine, FoundUnit, ScanResult
from gateway.devices.profile import load_profile
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error


def merged(paths: Sequence[Path], chosen: Mapping[str, str], named: Collection[str] = ()) -> ScanResult:
    """What these scans found, with the profiles that somebody has chosen by address; files of profiles by their whole
    path. ``named``: addresses of which a name was chosen.

    Raises:
        ConfigError: a file is no scan.
        ProfileError: a chosen profile is none.
        GatewayError: a line is in two of the files, no unit has a chosen address, or none could be identified.
    """
    results = [read_scan(path) for path in paths]
    lines = [line for result in results for line in result.lines]
    seen: set[tuple[object, ...]] = set()
    for line in lines:
        if (place := (line.type, line.port, line.host, line.tcp_port, line.baudrate, line.parity)) in seen:
            raise GatewayError(Message("init-scan-twice", where=str(line.port or line.host)))
        seen.add(place)
    addresses = {str(unit.address) for line in lines for unit in line.units}
    for profile in chosen.values():
        load_profile(profile, Path())
    chosen = {address: _whole_path(profile) for address, profile in chosen.items()}
    for address in (*chosen, *named):
        if address not in addresses:
            raise GatewayError(Message("init-scan-no-unit", address=address, addresses=tuple(sorted(addresses))))
    lines = [replace(line, units=tuple(_with(unit, chosen) for unit in line.units)) for line in lines]
    _demand_identified(paths, lines)
    return replace(results[0], lines=tuple(lines))


def read_scan(path: Path) -> ScanResult:
    """What a scan has written. Raises ConfigError."""
    try:
        return ScanResult.of_json(json.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigError(path, "", Message("config-not-readable", error=os_error(error))) from None
    except (ValueError, RecursionError):
        raise ConfigError(path, "", Message("scan-file-format", format="JSON")) from None
    except GatewayError as error:
        raise ConfigError(path, "", error.sentence) from None


def _with(unit: FoundUnit, chosen: Mapping[str, str]) -> FoundUnit:
    profile = chosen.get(str(unit.address))
    if profile is None:
        return unit
    known = next((c for c in unit.candidates if c.profile == profile), Candidate(profile, 1.0))
    return replace(unit, candidates=(replace(known, confidence=1.0),))


def _demand_identified(paths: Sequence[Path], lines: Sequence[FoundLine]) -> None:
    units = [unit for line in lines for unit in line.units]
    if any(unit.sure for unit in units):
        return
    files = tuple(map(str, paths))
    if tied := next((unit for unit in units if unit.tie), None):
        profiles = tuple(candidate.profile for candidate in tied.tie)
        raise GatewayError(
            Message("init-scan-tie", files=files, address=str(tied.address), profiles=profiles, first=profiles[0])
        )
    if not units:
        raise GatewayError(Message("init-scan-nothing", files=files))
    raise GatewayError(Message("init-scan-unknown", files=files, n=len(units), address=str(units[0].address)))


def _whole_path(profile: str) -> str:
    """A profile of one's own by its whole path: it was given from where its user stands."""
    return os.path.abspath(profile) if profile.endswith(".toml") or "/" in profile else profile
