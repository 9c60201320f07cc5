"""TLS files of a bus: what `check` refuses and warns of, and the port that is meant."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.alarms.checks import certificate_files
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.startup.line_specs import line_specs
from gateway.startup.tls_files import expired, role_missing
from tests.gateway.config.refusals import refused
from tests.support.brokers.pki import Authority, Pair
from tests.support.commands import gateway_command

BUS = """
[gateway]
id = "g"
[[bus]]
name = "pv"
type = "modbus-tcp"
host = "192.0.2.1"
tls = true
ca = "pki/ca.pem"
cert = "pki/{cert}.pem"
key = "pki/{key}.key"
  [[bus.meter]]
  name = "m"
  profile = "eastron-sdm630"
  address = 1
"""


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def written(folder: Path, cert: str = "gateway", key: str = "gateway") -> Path:
    """A configuration with its keys in the trust file."""
    path = folder / "gateway.toml"
    path.write_text(BUS.format(cert=cert, key=key))
    assert gateway_command("keys", path, "--make-missing")[0] == 0
    return path


def loaded(folder: Path, pair: Pair) -> Config:
    return load_config(written(folder, pair.cert.stem, pair.key.stem))


def test_a_bus_with_tls_is_asked_on_port_802(ca: Authority, tmp_path: Path) -> None:
    config = loaded(tmp_path, ca.issue("gateway", role="reader"))
    (spec,) = line_specs(config)
    assert (spec.tcp_port, spec.tls, spec.ca, spec.where) == (802, True, ca.ca, "192.0.2.1:802")
    assert role_missing(spec) is None
    assert list(expired(config, int(time.time()))) == []
    assert [(owner, key) for owner, key, _ in certificate_files(config)] == [("bus pv", "ca"), ("bus pv", "cert")]


def test_a_certificate_without_a_role_is_warned_of(ca: Authority, tmp_path: Path) -> None:
    ca.issue("gateway")
    code, out, err = gateway_command("check", written(tmp_path))
    assert code == 0, err
    assert "names no role (extension 1.3.6.1.4.1.50316.802.1)" in " ".join(out.split())


def test_an_expired_certificate_is_refused_but_stops_no_start(ca: Authority, tmp_path: Path) -> None:
    ca.issue("gateway", days=-3, role="reader")
    path = written(tmp_path)
    refused(path, "bus 'pv', cert", "gateway.pem has expired", "get a new one")
    (gone,) = expired(load_config(path), int(time.time()))
    assert "has expired" in str(gone)


def test_a_key_of_another_certificate_is_refused(ca: Authority, tmp_path: Path) -> None:
    ca.issue("gateway")
    ca.issue("other")
    refused(written(tmp_path, key="other"), "bus 'pv', cert", "other.key")


def test_a_missing_file_is_named(ca: Authority, tmp_path: Path) -> None:
    refused(written(tmp_path), "bus 'pv', cert", "gateway.pem does not exist")


def test_a_file_that_is_no_certificate_is_named(ca: Authority, tmp_path: Path) -> None:
    ca.issue("gateway")
    ca.ca.write_text("no PEM")
    refused(written(tmp_path), "bus 'pv', ca", "ca.pem")


def test_a_key_that_others_may_read_is_refused(ca: Authority, tmp_path: Path) -> None:
    ca.issue("gateway").key.chmod(0o644)
    refused(written(tmp_path), "bus 'pv', key", "gateway.key")
