"""Small profiles of a DL/T 645 meter and of an HJ 212 station, as TOML files of a site."""

from __future__ import annotations

from pathlib import Path

DLT645 = """
vendor = "Test"
device = "DL/T 645 meter"
source = "made up for this test"
format = 2
protocol = "dlt645"
timeout_ms = 500
answer_life_ms = 300
identity = ["meter_number"]
[serial]
baudrate = 2400
parity = "E"
[points]
meter_number = { di = "04000402", format = "NNNNNNNNNNNN", kind = "text", record = false }
energy_import = { di = "00010000", format = "XXXXXX.XX", unit = "kWh", kind = "counter" }
voltage_ln_l1 = { di = "02010100", format = "XXX.X", unit = "V", kind = "gauge" }
"""
HJ212 = """
vendor = "Test"
device = "HJ 212 station, CN 2011"
source = "made up for this test"
format = 2
protocol = "hj212"
cn = "2011"
[points]
o2 = { code = "a19001", suffix = "Rtd", unit = "/100", kind = "gauge" }
temperature = { code = "a01012", suffix = "Rtd", unit = "Cel", kind = "gauge" }
"""


def write_profiles(folder: Path) -> None:
    """``dlt645.toml`` and ``hj212.toml``."""
    (folder / "dlt645.toml").write_text(DLT645)
    (folder / "hj212.toml").write_text(HJ212)
