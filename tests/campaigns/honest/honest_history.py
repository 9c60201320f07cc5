"""An honest history of a gateway with three meters, made by the real journal on a machine whose time is moved."""

from __future__ import annotations

import random
from pathlib import Path

from gateway.clock import Clock, KernelClock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.evidence.sealing import seal_next
from gateway.recording.rules import Rules
from gateway.storage.database import Database
from tests.campaigns.dishonest.forged_history import History
from tests.support.samples import Hands, Machine, site

SEAL_MS = 120_000
EARLIER, LATER = 48, 36
"""Polls of each meter before and behind a restart, 10 s apart: four batches, and three."""
TAKES_S = (EARLIER + LATER) * 10 + 25
UNDATED_S, SLOWED_S = 240 + 600 + 480, 720


def machine_at(time_s: float) -> Machine:
    """A machine whose clock is right, at that Unix time."""
    machine = Machine()
    machine.wall_ms = int(time_s * 1000)
    return machine


def honest(folder: Path, began_s: float, chance: random.Random) -> History:
    """It begins at that Unix time, is started again once, and takes ``TAKES_S``."""
    loaded, machine = site(folder), machine_at(began_s)
    for polls in (EARLIER, LATER):
        hands = Hands(loaded, machine, epoch=chance.randbytes(8), seal_every_ms=SEAL_MS)
        hands.poll(polls)
        hands.end()
        machine.passes(25)
    seal_rest(loaded, machine.clock())
    return History.recorded(loaded)


def undated(folder: Path, began_s: float, chance: random.Random) -> History:
    """Its second epoch begins ten minutes after the first, without a clock, which is right four minutes later. It takes
    ``UNDATED_S``."""
    loaded, machine = site(folder), machine_at(began_s)
    hands = Hands(loaded, machine, epoch=chance.randbytes(8), seal_every_ms=SEAL_MS)
    hands.poll(24)
    hands.end()
    machine.passes(600)
    right_ms, machine.wall_ms, machine.kernel = machine.wall_ms, 1000, KernelClock(False, None)
    hands = Hands(loaded, machine, epoch=chance.randbytes(8), seal_every_ms=SEAL_MS)
    hands.poll(24)
    machine.wall_ms, machine.kernel = right_ms + 240_000, KernelClock(True, 20)
    hands.poll(24)
    hands.end()
    seal_rest(loaded, machine.clock())
    return History.recorded(loaded)


def slowed(folder: Path, began_s: float, chance: random.Random) -> History:
    """The clock is set back by a minute in its fifth one, so that record times run slowed for ten; short batches. It
    takes ``SLOWED_S``."""
    loaded, machine = site(folder), machine_at(began_s)
    hands = Hands(loaded, machine, epoch=chance.randbytes(8), seal_every_ms=30_000)
    hands.poll(24)
    machine.wall_ms -= 60_000
    hands.poll(48)
    hands.end()
    seal_rest(loaded, machine.clock())
    return History.recorded(loaded)


def seal_rest(loaded: Config, clock: Clock) -> None:
    """Seal what an ended gateway left, as ``drain`` does."""
    store, keys, rules = Database(loaded.database), load_keys(loaded), Rules.of(loaded)
    with store.transaction():
        store.batches.cut()
    while seal_next(store, rules.issuer(keys.statement), clock.now_ms()):
        pass
    store.close()
