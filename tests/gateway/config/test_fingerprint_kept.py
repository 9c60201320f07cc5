"""Fingerprint of a configuration as the version before the catalog's provenance computed it: an update announces no
change."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.fingerprint import _map
from gateway.config.load import load_config
from ledger_client.formats import cbor

CONFIG = """
[gateway]
id = "fp-test"
timezone = "Asia/Shanghai"

[[bus]]
name = "rtu"
type = "modbus-rtu"
port = "/dev/ttyS7"
baudrate = 19200
parity = "N"
stopbits = 1
  [[bus.meter]]
  name = "m1"
  profile = "eastron-sdm630"
  address = 1
  role = "consumption"
  [[bus.meter]]
  name = "m2"
  profile = "vaisala-gmp252"
  address = 240
[[bus]]
name = "tcp"
type = "modbus-tcp"
host = "127.0.0.1"
port = 5020
  [[bus.meter]]
  name = "pv"
  profile = "sunspec-inverter"
  address = 1
  role = "generation"
[[bus]]
name = "d645"
type = "dlt645"
port = "/dev/ttyS8"
  [[bus.meter]]
  name = "g1"
  profile = "dlt645-three-phase"
  address = "000000012345"
  every = "30s"
[[bus]]
name = "d645s"
type = "dlt645"
port = "/dev/ttyS6"
  [[bus.meter]]
  name = "g2"
  profile = "dlt645-single-phase"
  address = "000000012346"
[[bus]]
name = "cems"
type = "hj212"
listen = "0.0.0.0:9003"
from = ["10.0.0.1"]
  [[bus.meter]]
  name = "stack"
  profile = "hj212-cems-minute"
  address = "88888880000001"
  every = "60s"
[[bus]]
name = "p1"
type = "p1"
port = "/dev/ttyS9"
  [[bus.meter]]
  name = "house"
  profile = "dsmr-5-electricity"
  address = "0-0"
  [[bus.meter]]
  name = "gas"
  profile = "dsmr-gas"
  address = "0-1"
  every = "10m"
"""
BEFORE = "f97c46295fbc0d6dc2bf5ab16d23e8277711afe86a9fd7f45d9ef69f051b8ef7"


def test_the_fingerprint_of_a_configuration_that_nobody_changed_stays(tmp_path: Path) -> None:
    """Modbus, SunSpec, DL/T 645, HJ 212 and P1, with profiles that learned where their points are known from."""
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    assert load_config(path).fingerprint().hex() == BEFORE


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, 300])
def test_a_map_of_encoded_values_is_the_map_of_the_values(count: int) -> None:
    values = {f"{'meter' * (n % 14)}-{n}": {"n": n, "points": ["a", None, True]} for n in range(count)}
    assert _map({name: cbor.encode(value) for name, value in values.items()}) == cbor.encode(values)
