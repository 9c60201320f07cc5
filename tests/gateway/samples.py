"""Small real things for the gateway's tests: a site made by `init`, and recorders on its database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway import agent, config, starter
from gateway.clock import Clock
from gateway.config import Config
from gateway.journal import Finished
from gateway.keys import load_keys
from gateway.recorder import Recorder
from gateway.signer import stamp
from gateway.store import Store
from ledger_client.record import Reading, Value

EPOCH = bytes(range(8))


def site(folder: Path, changes: Mapping[str, str] | None = None) -> Config:
    """A site as `meterseal init` makes it, with texts of its gateway.toml replaced (old → new)."""
    starter.init(folder, gateway="test-gateway", now_s=1_700_000_000)
    path = folder / "gateway.toml"
    text = path.read_text()
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return config.load(path)


def recorder(loaded: Config, clock: Clock, epoch: bytes = EPOCH, **changes: Any) -> tuple[Recorder, int]:
    """A recorder whose epoch is open, and the anchor of its schedules; ``start`` is the test's."""
    made = Recorder(Store(loaded.database), load_keys(loaded), replace(agent.rules(loaded), **changes), clock, epoch)
    return made, made.open()


def finished(meter: str, due_ms: int, clock: Clock, value: int = 1) -> Finished:
    """A poll of one value that was answered now."""
    now = stamp(clock)
    return Finished(meter, due_ms, Reading(now.time_ms, (Value("count", value, "count"),)), now)
