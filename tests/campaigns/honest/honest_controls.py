"""Honest histories of all that may befall a gateway, made by its own parts: an audit of their exports finds nothing."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gateway.anchoring.ledger_drivers import trust_of
from gateway.clock import KernelClock
from gateway.commissioning.record.configured import record_of
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.recording.config_change import Change
from gateway.records import MeterEvent
from gateway.storage.database import Database
from gateway.storage.recovery.repair import open_store
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.record import Event
from ledger_client.times import rfc3339
from ledger_client.verification.trust_text import key_entry
from tests.campaigns.honest import honest_inputs, honest_meters
from tests.campaigns.honest.honest_balances import year_after_its_months
from tests.campaigns.honest.honest_history import machine_at, seal_rest
from tests.campaigns.honest.honest_scene import Scene, Tale, TimedTale
from tests.support.clock_history import LIMIT, History
from tests.support.commands import audit_exports, ledger_command
from tests.support.epochs import running, until
from tests.support.processes import EmbeddedLedger
from tests.support.samples import settle
from tests.system.restored.test_restore import Look

PAGE = 4096
RESTORED = ("--allow-resume",)


def _restart(scene: Scene) -> None:
    for seconds in (130, 70, 200):
        scene.begin()
        scene.live(seconds)
        scene.stop()
        scene.off(25)


def _killed_twice_in_a_batch(scene: Scene) -> None:
    for seconds in (130, 12, 17, 150):
        scene.begin()
        scene.live(seconds)
        scene.kill()
        scene.off(4)
    scene.begin()
    scene.live(100)
    scene.stop()


def _week_without_a_ledger(scene: Scene) -> None:
    """The lines are down for a week, and the ledger is not asked until its end."""
    scene.begin(seal_every_ms=6 * 3_600_000)
    scene.live(3600, step_s=5)
    scene.live(6 * 86_400, lambda *_: "line-down", step_s=1800)
    scene.live(3600, step_s=5)
    scene.stop()


def _thinning(scene: Scene) -> None:
    scene.begin()
    scene.live(130)
    for factor in (2, 10, 5, 1):
        scene.journal._record_every(factor, LIMIT)
        scene.live(140 + factor)
    scene.stop()


def _full_disk(scene: Scene) -> None:
    scene.begin()
    scene.live(130)
    scene.store.fates = [("full", 0.0)] * 20
    scene.live(200)
    scene.stop()


def _slow_disk(scene: Scene) -> None:
    scene.begin()
    for seconds in (3.0, 20.0, 0.5, 8.0):
        scene.live(90)
        scene.store.fates = [("good", seconds)] * 5
    scene.live(130)
    scene.stop()


def _disk_error(scene: Scene) -> None:
    scene.begin()
    scene.live(90)
    scene.store.fates = [("refused", 1.0)] * 4
    scene.live(200)
    scene.stop()


def _exchanged_meter(scene: Scene) -> None:
    """Another device answers for a while, and is accepted and commissioned then."""
    scene.begin()
    scene.journal.happened(MeterEvent("export-main", Event("commissioned", {"identity": "serial=1"})))
    scene.live(100)
    scene.live(100, lambda meter, _: "exchanged" if meter == "export-main" else None)
    facts = {"identity": "serial=2", "old": "serial=1", "last": {}, "first": {}, "reason": "broken"}
    scene.journal.happened(MeterEvent("export-main", Event("meter-exchange", facts)))
    at_ms = scene.machine.wall_ms
    record = record_of(scene.loaded, "export-main", identity="serial=2", by="somebody", at_ms=at_ms)
    scene.journal.happened(MeterEvent("export-main", record.event()))
    scene.live(150)
    scene.stop()
    scene.off(10)
    scene.begin()
    scene.live(70)
    scene.stop()


def _clock_set(*steps_s: float) -> Tale:
    """The system's clock is set so far, once and again, each followed."""

    def tale(scene: Scene) -> None:
        scene.begin()
        for step_s in steps_s:
            scene.live(130)
            scene.machine.wall_ms += round(step_s * 1000)
            scene.live(700)
        scene.stop()
        scene.begin()
        scene.live(70)
        scene.stop()

    return tale


def _no_clock(scene: Scene) -> None:
    """It starts without a clock, which becomes right after a while; and so it starts again with a past."""
    right_ms = scene.machine.wall_ms
    for _ in range(2):
        scene.machine.wall_ms, scene.machine.kernel = 1000, KernelClock(False, None)
        up_s = scene.machine.up_s
        scene.begin()
        scene.live(200)
        right_ms += round((scene.machine.up_s - up_s) * 1000)
        scene.machine.wall_ms, scene.machine.kernel = right_ms, KernelClock(True, 20)
        scene.live(200)
        right_ms += 200_000
        scene.stop()
        scene.off(30)
        right_ms += 30_000


def _week_from_cut_to_seal(scene: Scene) -> None:
    """The ledgers are not there to be compared with before the first seal, for a week."""
    scene.begin(seal_every_ms=6 * 3_600_000)
    scene.journal.held = "no ledger answers"
    scene.live(600, step_s=5)
    scene.journal.cut()
    scene.live(7 * 86_400, lambda *_: "line-down", step_s=1800)
    assert not scene.store.batches.all()
    scene.journal.held = None
    scene.live(600, step_s=5)
    scene.stop()


def _hourly(scene: Scene) -> None:
    scene.begin(seal_every_ms=240_000)
    scene.live(3 * 3600 + 300, step_s=5)
    scene.stop()
    scene.off(1800)
    scene.begin(seal_every_ms=240_000)
    scene.live(3600, step_s=5)
    scene.stop()


def _waiting_polls(scene: Scene) -> None:
    """A meter's polls wait for a shape: one is answered long after it was due, those meanwhile are not asked."""
    scene.begin()
    waiting = scene.due.pop("export-main")
    for _ in range(4):
        scene.live(47)
        scene.due["export-main"] = waiting
        scene.over("export-main", None)
        while scene.due["export-main"] < scene.clock.schedule_ms():
            scene.over("export-main", "no-shape")
        waiting = scene.due.pop("export-main")
    scene.due["export-main"] = waiting
    scene.live(130)
    scene.stop()


def _reload(scene: Scene) -> None:
    """A meter is taken out, put in again, and read at another period, all in one epoch."""
    scene.begin()
    everyone, keys = scene.journal.rules, load_keys(scene.loaded)
    periods_ms = dict(everyone.periods_ms)
    for meters in (
        {"export-main", "stack-co2"},
        {"export-main", "stack-co2", "pv-inverter"},
        {"export-main", "pv-inverter"},
        {"export-main", "stack-co2", "pv-inverter"},
    ):
        scene.live(95)
        rules = replace(everyone, periods_ms={meter: periods_ms[meter] for meter in meters})
        anew = meters - scene.due.keys()
        at_ms = scene.journal.change(Change(rules, keys, anew, {"why": "reload"}))
        scene.due = {meter: scene.due.get(meter, at_ms) for meter in meters}
    scene.live(95)
    scene.stop()


def _key_rotation(scene: Scene) -> None:
    """Keys are replaced between two starts, once while batches wait for their seal and records for their commit; and a
    meter that a reload takes out comes back with another one."""
    scene.begin()
    scene.live(130)
    scene.journal.held = "batches wait for their seal"
    scene.live(135)
    scene.kill()
    scene.renew_keys("statement", "export-main")
    scene.off(10)
    scene.begin()
    scene.live(135)
    everyone, anew = scene.journal.rules, frozenset({"stack-co2"})
    less = {meter: period_ms for meter, period_ms in everyone.periods_ms.items() if meter not in anew}
    scene.journal.change(Change(replace(everyone, periods_ms=less), load_keys(scene.loaded), (), {"why": "reload"}))
    del scene.due["stack-co2"]
    scene.live(70)
    scene.renew_keys("stack-co2")
    at_ms = scene.journal.change(Change(everyone, load_keys(scene.loaded), anew, {"why": "reload"}))
    scene.due["stack-co2"] = at_ms
    scene.live(70)
    scene.stop()
    scene.renew_keys("export-main", "pv-inverter")
    scene.begin()
    scene.live(130)
    scene.stop()


TALES = {
    "restart": TimedTale(_restart, 700, frozenset({"stop"})),
    "killed-twice-in-a-batch": TimedTale(_killed_twice_in_a_batch, 700),
    "week-without-a-ledger": TimedTale(_week_without_a_ledger, 6.2 * 86_400),
    "week-from-cut-to-seal": TimedTale(_week_from_cut_to_seal, 7.2 * 86_400),
    "thinning": TimedTale(_thinning, 900, frozenset({"recording-period"})),
    "full-disk": TimedTale(_full_disk, 500, frozenset({"recording-stopped"})),
    "slow-disk": TimedTale(_slow_disk, 1200),
    "disk-error": TimedTale(_disk_error, 500, frozenset({"recording-stopped"})),
    "exchanged-meter": TimedTale(
        _exchanged_meter, 600, frozenset({"meter-exchange"}), changed=frozenset({("identity", True)})
    ),
    "clock-set-forward": TimedTale(_clock_set(30.0, 45.0), 2400, frozenset({"clock"})),
    "clock-set-far-forward": TimedTale(_clock_set(3600.0), 6000, frozenset({"clock"})),
    "clock-set-back": TimedTale(_clock_set(-30.0, -45.0), 2400, frozenset({"clock"})),
    "clock-set-both-ways": TimedTale(_clock_set(50.0, -50.0, 20.0), 4000, frozenset({"clock"})),
    "start-without-a-clock": TimedTale(_no_clock, 1200, frozenset({"clock"})),
    "hourly": TimedTale(_hourly, 5 * 3600, periods={"stack-co2": "1h"}),
    "polls-that-wait": TimedTale(_waiting_polls, 500),
    "reload": TimedTale(_reload, 700, frozenset({"configuration"}), changed=frozenset({("configured", None)})),
    "key-rotation": TimedTale(_key_rotation, 800, frozenset({"keys"}), changed=frozenset({("configured", None)})),
    **honest_meters.TALES,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where controls run: an empty folder, a running ledger, and what their chances follow from."""

    folder: Path
    ledger: EmbeddedLedger
    now_s: float
    seed: int

    def scene(self, name: str, takes_s: float, periods: Mapping[str, str] | None = None) -> Scene:
        """A gateway whose story ends about now."""
        return Scene(self.folder / name, self.ledger, self.now_s - takes_s - 60, self.seed, periods or {})


def ended(place: Place, name: str) -> Scene:
    """The gateway of a tale, with all that it recorded anchored."""
    timed = TALES[name]
    scene = place.scene(name, timed.takes_s, timed.periods)
    timed.tale(scene)
    scene.anchored()
    assert timed.led_to <= scene.events(), f"{name}: nothing of the kind has happened"
    return scene


def audited_tale(place: Place, name: str) -> dict[str, Any]:
    """The audit of a tale's exports, which must reach from the first batch to the tale's end."""
    scene = ended(place, name)
    facts = audit_exports(scene.loaded, "--gateway", name, "--to", rfc3339(scene.machine.wall_ms // 1000))
    changed = {(change["field"], change["exchange"]) for change in facts["changes"]}
    assert changed == TALES[name].changed, f"{name}: {facts['changes']}"
    assert not [note for note in facts["notes"] if "commissioning record" in note], facts["notes"]
    noted = [note for note in facts["notes"] if re.search("do not have|without any value|asleep", note)]
    assert not noted, noted
    return facts


def by_chance(place: Place) -> dict[str, Any]:
    """Clock, disk, meters and process misbehave by chance, and the last epoch ends in order."""
    scene = place.scene(f"by-chance-{place.seed}", 4 * 3600)
    history = History(scene.loaded, random.Random(place.seed), machine_at(place.now_s - 4 * 3600))
    history.run(4)
    scene.machine = history.machine
    history.machine.kernel = KernelClock(True, 20)
    scene.begin()
    scene.live(60)
    scene.stop()
    scene.anchored()
    return audit_exports(scene.loaded)


def ten_days_off(place: Place) -> dict[str, Any]:
    """It is off for ten days and starts without a clock; its batches are anchored as they are sealed, and the trust
    file wants them within five days."""
    scene = place.scene("ten-days-off", 10 * 86_400 + 700)
    key = PrivateKey.generate()
    policy = scene.loaded.trust.read_text().replace("[policy]\n", '[policy]\nmax_delay = "5d"\n', 1)
    scene.loaded.trust.write_text(policy + key_entry("ledger", key.public, 0, ledger=place.ledger.name))
    scene.begin()
    scene.live(130)
    scene.stop()
    seal_rest(scene.loaded, scene.machine.clock(scene.machine.wall_ms))
    _receive(scene, key, scene.machine.wall_ms)
    scene.off(10 * 86_400)
    right_ms, scene.machine.wall_ms, scene.machine.kernel = scene.machine.wall_ms, 1000, KernelClock(False, None)
    scene.begin()
    scene.live(200)
    _receive(scene, key, right_ms + 200_000)
    scene.machine.wall_ms, scene.machine.kernel = right_ms + 200_000, KernelClock(True, 20)
    scene.live(200)
    scene.stop()
    seal_rest(scene.loaded, scene.machine.clock(scene.machine.wall_ms))
    _receive(scene, key, scene.machine.wall_ms)
    assert "clock" in scene.events()
    return audit_exports(scene.loaded)


def _receive(scene: Scene, key: PrivateKey, time_ms: int) -> None:
    """The ledger's receipts for what is sealed and has none."""
    store = Database(scene.loaded.database)
    settled = {anchor.batch for anchor in store.anchors.of() if anchor.state == "settled"}
    new = [batch.batch for batch in store.batches.all() if batch.batch not in settled]
    assert new
    settle(store, new, key, time_ms // 1000)
    store.close()


def rotated(place: Place) -> dict[str, Any]:
    """The ledger signs with another key from some batch on."""
    scene = place.scene("ledger-key-rotated", 700)
    scene.begin()
    scene.live(250)
    scene.stop()
    scene.anchored()
    done = ledger_command("rotate", place.ledger.folder)
    assert done.code == 0, done
    shown = ledger_command("show", place.ledger.folder, "--trust")
    text = scene.loaded.trust.read_text()
    head = text.partition('[[key]]\nrole = "ledger"')[0]
    scene.loaded.trust.write_text(head + shown.out)
    scene.begin()
    scene.live(150)
    scene.stop()
    scene.anchored()
    return audit_exports(scene.loaded)


def restored(place: Place) -> dict[str, Any]:
    """A copy of the database is put back, and the ledger holds more than it."""
    scene = place.scene("restored", 900)
    scene.begin()
    scene.live(200)
    scene.stop()
    scene.anchored()
    copy = shutil.copy(scene.loaded.database, scene.loaded.database.with_suffix(".copy"))
    scene.off(10)
    scene.begin()
    scene.live(250)
    scene.stop()
    scene.anchored()
    scene.loaded.database.unlink()
    Path(copy).rename(scene.loaded.database)
    asyncio.run(goes_on(scene.loaded))
    scene.anchored()
    return audit_exports(scene.loaded, *RESTORED)


def repaired(place: Place) -> dict[str, Any]:
    """Pages of the database are destroyed while the gateway stands still, among them records that no batch holds."""
    scene = place.scene("repaired", 700)
    scene.begin()
    scene.live(200)
    scene.stop()
    scene.anchored()
    scene.off(10)
    scene.begin()
    scene.live(150)
    scene.kill()
    newest = Look(scene.loaded)(
        lambda store: store.all("SELECT data FROM records WHERE id > (SELECT max(last_id) FROM batches)")
    )
    content = bytearray(scene.loaded.database.read_bytes())
    hit = {0, content.index(bytes(newest[len(newest) // 2][0])) // PAGE}
    for page in hit:
        content[page * PAGE : (page + 1) * PAGE] = os.urandom(PAGE)
    scene.loaded.database.write_bytes(content)
    asyncio.run(goes_on(scene.loaded))
    scene.anchored()
    return audit_exports(scene.loaded, *RESTORED)


async def goes_on(loaded: Config) -> None:
    """The whole gateway, its lines leading nowhere: it compares itself with the ledger, seals and anchors."""

    def opened(_: Path) -> Database:
        return open_store(loaded, load_keys(loaded), trust_of(loaded))

    look = Look(loaded)
    async with running(loaded, opened) as epoch:
        await until(lambda: epoch.site.recorder.health()["sealing"] is None)
        await asyncio.wrap_future(epoch.site.recorder.call(lambda _: epoch.site.recorder._journal.cut()))
        await until(lambda: look.settled() == look.batches() and not look(lambda store: store.batches.cuts()))


Control = Callable[[Place], dict[str, Any]]
CONTROLS: Mapping[str, Control] = {
    **{name: partial(audited_tale, name=name) for name in TALES},
    "by-chance": by_chance,
    "moisture-beside-carbon": lambda place: honest_inputs.analyses(place.folder / "moisture-beside-carbon"),
    "ten-days-off-without-a-clock": ten_days_off,
    "restored": restored,
    "repaired": repaired,
    "year-after-its-months": year_after_its_months,
    "ledger-key-rotated": rotated,  # the last: the others' trust files know one key
}
