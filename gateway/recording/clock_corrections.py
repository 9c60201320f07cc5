"""Corrections of the clock: when the system's clock becomes good, or is set, record times are brought back to it.

A signed event has both times (decision 012). It is signed before the clock is turned, by the clock as it will be: a
statement key that is away has changed nothing then.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from gateway.clock import SLOWED, Clock, Correction
from gateway.messages.message import Message
from gateway.recording.announcements import by_meter, spread
from gateway.recording.committer import Committer
from gateway.recording.coverage import stopped_polls
from gateway.records import CLOCK, GATEWAY, MeterEvent, Timestamp
from gateway.storage.rows import Tail
from ledger_client.errors import KeyAway
from ledger_client.formats.record import Event

log = logging.getLogger("meterseal.recorder")

PROMPT_MS: Final = 1_000
"""Within so long a correction is signed, or it is made anew: meanwhile readings are stamped by the course before."""


def correct_clock(committer: Committer) -> None:
    """Turn the clock, if a correction is due, by a signed event. Nothing may be pending, and recording goes on."""
    clock, accounting, pending = committer.clock, committer.accounting, committer.pending
    before, change = Timestamp.now(clock), clock.correction()
    if change is None:
        return
    turned, kept = clock.turned(change), (deepcopy(accounting.counters), accounting.unnoted)
    rulers = accounting.grids_from_now(turned)
    grids = accounting.named(rulers)
    accounting.unnoted = [*accounting.unnoted, *grids]  # noted with the first commit that succeeds
    accounting.take(rulers)
    tables: dict[str, Mapping[str, Any]] = {"stopped": _stopped(change, committer.tails), "grids": by_meter(grids)}
    events = spread(Event(CLOCK, _facts(turned, change)), tables)
    try:
        with pending.signer.whole():
            coverage, after = committer.coverage(before), Timestamp.now(turned)
            rows = [*coverage, *(pending.signer.event(GATEWAY, event, after) for event in events)]
            if clock.up_ms() - change.up_ms > PROMPT_MS:
                raise KeyAway(Message("key-slow"))
    except KeyAway as error:
        committer.key_is_away(error)
        accounting.counters, accounting.unnoted = kept
        return
    clock.turn(change)
    log.warning("clock corrected: record times go from %d to %d ms", change.before_ms, change.after_ms)
    pending.sign_again(MeterEvent(GATEWAY, event) for event in events)  # with the commit of the grids
    if committer.write(rows, coverage=True):
        committer.uncut += len(events)


def _stopped(change: Correction, tails: Mapping[str, Tail | None]) -> dict[str, int]:
    """Polls by meter that were due while the gateway was off, of an epoch that is dated by a change."""
    if not change.dates:
        return {}
    began_ms = change.after_ms - change.up_ms
    return {m: n for m, t in tails.items() if t is not None and (n := stopped_polls(t, began_ms))}


def _facts(turned: Clock, change: Correction) -> dict[str, Any]:
    """Record times before and after at one moment of the epoch; of an epoch that is dated by it, when it began."""
    letter, error_ms = turned.letter()
    facts = {"before": change.before_ms, "after": change.after_ms, "up": change.up_ms, "clock": letter}
    if error_ms is not None:
        facts["error"] = error_ms
    if change.course.slow:
        facts["tenths"] = SLOWED
    if change.dates:
        facts["began"] = change.after_ms - change.up_ms
    return facts
