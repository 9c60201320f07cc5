"""Polls reach the writer in portions, and a thread that waits for the interpreter soon has it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.agent import main
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.errors import GatewayError
from gateway.process.switch_interval import SWITCH_S
from gateway.recording import recorder as recording
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.storage.database import Database
from tests.support.books import check_books
from tests.support.samples import EPOCH, finished, site

METER, PATIENCE_S = "export-main", 20.0
NEVER_MS = 1 << 40


class Watched(Recorder):
    """The recorder, which also notes how much it takes from its inbox at once."""

    portions: list[int]

    def _next_items(self) -> list[Any]:
        items = super()._next_items()
        self.portions.append(len(items))
        return items


@pytest.fixture
def switched() -> Iterator[None]:
    """The interpreter as it was afterwards."""
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_polls_reach_the_writer_in_portions_but_for_the_first_and_what_is_in_a_hurry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "GATHER_S", PATIENCE_S)
    loaded, clock, written = site(tmp_path / "site"), Clock(), threading.Event()
    rules = replace(Rules.of(loaded), commit_every_ms=NEVER_MS, seal_every_ms=NEVER_MS, seal_count=NEVER_MS)
    made = Watched(Database(loaded.database), load_keys(loaded), rules, clock, EPOCH)
    made.portions = []
    anchor_ms = made.open()
    made.on_news.append(lambda _: written.set())
    made.start()
    made.put(finished(METER, anchor_ms, clock))
    assert written.wait(PATIENCE_S / 2), "the first reading of an epoch waits for nothing"
    for k in range(1, 10):
        made.put(finished(METER, anchor_ms + 10_000 * k, clock))
    made.call(lambda _: None).result(PATIENCE_S / 2)
    assert max(made.portions) >= 9  # the call may have come into the same portion, or into the next one
    assert sum(made.portions) == 11
    made.stop()
    check_books(loaded)


def test_the_interpreters_switch_interval_is_half_a_millisecond_whatever_is_configured(
    tmp_path: Path, switched: None
) -> None:
    loaded = site(tmp_path / "site")
    assert loaded.document.web is None
    sys.setswitchinterval(0.005)
    shutil.rmtree(loaded.keys)
    with pytest.raises(GatewayError):
        asyncio.run(main.run(loaded))
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
