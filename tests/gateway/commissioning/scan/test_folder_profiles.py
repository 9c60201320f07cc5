"""`meterseal scan --profiles DIR`: profiles of one's own take part, and are named by their files."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path

import pytest

from gateway.commissioning.scan.bus_toml import bus_sections
from gateway.commissioning.scan.folder_profiles import folder_profiles
from gateway.commissioning.scan.found import ScanResult
from gateway.commissioning.scan.serial_scan import scan_serial
from gateway.commissioning.scan.settings import ScanOptions
from gateway.errors import GatewayError
from tests.gateway.commissioning.scan.test_likeness import device, requests
from tests.gateway.fieldbus.devices import Pty
from tests.support.commands import gateway_command

PROFILE = """
vendor = "Example"
device = "EM3"
source = "made up for this test"
[fingerprint]
constants = [{ fc = 3, address = 700, words = [4711, 13] }]
[points]
voltage_ln_l1 = { fc = 3, address = 702, type = "uint16", unit = "V", scale = -1 }
frequency = { fc = 3, address = 703, type = "uint16", unit = "Hz", scale = -2 }
"""


def test_a_unit_is_known_by_a_profile_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "em3.toml").write_text(PROFILE)
    (tmp_path / "gateway.toml").write_text('[gateway]\nid = "g"\n')
    profiles = folder_profiles(tmp_path)

    async def test() -> ScanResult:
        pty = Pty(tmp_path / "line", device({700: 4711, 701: 13, 702: 2301, 703: 5001}), requests)
        try:
            return await scan_serial(
                str(pty.link), ScanOptions((9600,), units=(7,), profiles=profiles), lambda step: True
            )
        finally:
            pty.unplug()

    result = asyncio.run(test())
    (unit,) = ScanResult.of_json(json.loads(json.dumps(result.as_json()))).units
    assert unit.best is not None
    assert (unit.best.profile, unit.best.confidence >= 0.9) == (str(tmp_path / "em3.toml"), True)
    (bus,) = tomllib.loads(bus_sections(result, folder=tmp_path / "site"))["bus"]
    assert (bus["meter"][0]["name"], bus["meter"][0]["profile"]) == ("em3", "../em3.toml")


@pytest.mark.parametrize(
    ("text", "says"), [("", "no profile"), ("[points", "em3.toml"), (PROFILE + "p = 1\n", "em3.toml")]
)
def test_a_folder_without_a_sound_profile_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "em3.toml").write_text(text)
    with pytest.raises(GatewayError, match=says):
        folder_profiles(tmp_path)
    assert gateway_command("scan", "127.0.0.1", "--profiles", tmp_path)[0] == 2
    assert gateway_command("scan", "127.0.0.1", "--profiles", tmp_path / "none")[0] == 2
