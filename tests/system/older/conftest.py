"""A site, its ledger, and uplinks that do not pause for long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.anchoring import refusals, uplink
from gateway.config.model import Config
from tests.support.gateways.sites import believed
from tests.support.samples import site
from tests.system.older.lives import Ledger


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(uplink, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(refusals, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(refusals, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(refusals, "FIRST_DOUBT_S", 0.01)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    config = site(tmp_path / "site")
    believed(tmp_path / "ledger", config)
    return config


@pytest.fixture
def ledger(loaded: Config, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger")
    yield made
    made.close()
