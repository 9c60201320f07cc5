"""An honest history of a gateway with three meters, made by the real journal on a machine whose time is moved."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.parts.forged_history import History
from gateway.clock import Clock
from gateway.commits import Rules
from gateway.config import Config
from gateway.journal import seal_next
from gateway.keys import load_keys
from gateway.store import Store
from tests.gateway.samples import Hands, Machine, site

SEAL_MS = 120_000
EARLIER, LATER = 48, 36
"""Polls of each meter before and behind a restart, 10 s apart: four batches, and three."""
TAKES_S = (EARLIER + LATER) * 10 + 25


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


def seal_rest(loaded: Config, clock: Clock) -> None:
    """Seal what an ended gateway left, as ``drain`` does."""
    store, keys, rules = Store(loaded.database), load_keys(loaded), Rules.of(loaded)
    with store.transaction():
        store.cut()
    while seal_next(store, keys, rules, clock.now_ms()):
        pass
    store.close()
