"""A database that was put back, and a ledger behind a broker that cannot be asked: the whole gateway goes on."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from gateway.anchoring import refusals
from gateway.config.load import load_config
from ledger_client.formats.statement import parse_statement
from tests.campaigns.honest.honest_controls import RESTORED, goes_on
from tests.campaigns.honest.honest_scene import Scene
from tests.support.books import check_all_is_sealed, check_books, check_each_record_is_sealed_once
from tests.support.commands import audit_exports
from tests.support.ledger_site import site
from tests.support.samples import rewrite


@pytest.mark.parametrize("tail", [False, True], ids=["at once", "after a start that nobody saw the end of"])
def test_a_gateway_that_was_put_back_learns_from_refusals_and_stays_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: bool
) -> None:
    monkeypatch.setattr(refusals, "FIRST_PAUSE_S", 0.2)
    monkeypatch.setattr(refusals, "LONGEST_PAUSE_S", 1.0)
    with site(tmp_path) as demo:
        scene = Scene(tmp_path / "plant", demo.ledger, time.time() - 86_400, 3, {})
        scene.begin()
        scene.live(200)
        scene.stop()  # what was recorded last is in no batch of the copy
        copy = Path(shutil.copy(scene.loaded.database, tmp_path / "copy.db"))
        scene.anchored()
        scene.off(10)
        scene.begin()
        scene.live(250)
        scene.stop()
        scene.anchored()
        held = demo.held_of("plant")
        scene.loaded.database.unlink()
        copy.rename(scene.loaded.database)
        if tail:
            scene.off(10)
            scene.begin()
            scene.live(25)
            scene.kill()
        rewrite(scene.loaded, ('type = "http"', 'type = "mqtt"'), (demo.ledger.url, demo.broker.url))
        scene.loaded = load_config(scene.loaded.path)
        asyncio.run(goes_on(scene.loaded))
        scene.anchored()
        assert "rollback" in scene.events()
        check_books(scene.loaded)
        check_all_is_sealed(scene.loaded)
        with demo.driver("http") as log:
            entries = log.statements("plant", -1)
        check_each_record_is_sealed_once(scene.loaded, entries)
        statements = [parse_statement(entry).statement for entry in entries]
        assert [statement.batch for statement in statements] == list(range(len(entries)))
        assert [statement.batch for statement in statements if statement.resume] == [len(held)]
        assert demo.held_of("plant") == list(range(len(entries)))
        audit = audit_exports(scene.loaded, *RESTORED)
        assert (audit["sound"], audit["findings"]) == (True, [])
