"""What a listener takes of shifted lines: the 35 that are asked in turn, each with four kinds of slow device, and lines
that are drawn. In a clock of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from benchmarks.truth.shifted_lines import (
    PACES,
    QUICK_S,
    ROUNDS,
    Behind,
    Carried,
    Device,
    Queue,
    Steady,
    carried,
    in_turn,
    judged,
    random_line,
)
from gateway.fieldbus.modbus.passive import Pairing
from gateway.fieldbus.wire.keys import KeyTable

LIFE_S, BRIDGE_LIFE_S, TIMEOUT_S, UNENDED_S = 3.0, 10.0, 1.0, 2.0
LONG_PAUSE_S = 0.3


def _slow(kind: Callable[[], Device]) -> Mapping[int, Device]:
    return {1: kind(), 2: Steady(lambda: QUICK_S), 3: Steady(lambda: QUICK_S)}


def devices(kind: str, latency_s: float) -> Mapping[int, Device]:
    """Units 1 to 3: a slow one of that kind and two quick ones; or all behind one bridge."""
    if kind == "bridge":
        return dict.fromkeys((1, 2, 3), Behind())
    slow: Mapping[str, Callable[[], Device]] = {
        "steady": lambda: Steady(lambda: latency_s),
        "queue": lambda: Queue(lambda: latency_s),
        "busy": lambda: Queue(lambda: latency_s, most=1),
        "unit-bridge": Behind,
    }
    return _slow(slow[kind])


KINDS = ("steady", "queue", "busy", "unit-bridge", "bridge")
"""Answers so long after each question; works off a queue; drops what comes while it is busy; one answer behind, alone
or with all units."""


def the_35(kind: str, seconds: float) -> Iterator[tuple[str, bool, list[Carried]]]:
    """Name, whether the master pauses, and what is heard of each line."""
    for name in ROUNDS:
        for latency_s, timeout_s, pause_s in PACES:
            heard = carried(in_turn(name, timeout_s, pause_s), devices(kind, latency_s), seconds)
            yield f"{name} {latency_s} {timeout_s} {pause_s}", pause_s >= LONG_PAUSE_S, heard


def listener(life_s: float = LIFE_S) -> Pairing:
    """One that begins to hear."""
    return Pairing(KeyTable(life_s), lambda unit: TIMEOUT_S, UNENDED_S)


def life_of(kind: str) -> float:
    """A bridge is in a network; what it holds may be as old."""
    return BRIDGE_LIFE_S if "bridge" in kind else LIFE_S


def figures(seconds: float, lines: int, seed: int) -> dict[str, object]:
    """Over all lines: ``wrong`` pairs, and shares of the right ones that were ``taken``, by whether the master pauses.

    Args:
        seconds: of each of the 35.
        lines: how many are drawn, of each of four sorts.
    """
    found: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    wrong_lines = 0
    for kind in KINDS:
        for _, pauses, heard in the_35(kind, seconds):
            one = judged(heard, listener(life_of(kind)), TIMEOUT_S)
            found[pauses] += one
            wrong_lines += one["wrong"] > 0
    drawn: dict[tuple[bool, bool], Counter[str]] = {}
    for pauses in (False, True):
        for faults in (False, True):
            draw = partial(random_line, life_s=LIFE_S, pauses=pauses, faults=faults)
            total = Counter[str]()
            for number in range(lines):
                total += judged(draw(seed + number), listener(), TIMEOUT_S)
            drawn[pauses, faults] = total
    return {
        "shifted_wrong": sum(one["wrong"] for one in found.values()),
        "shifted_wrong_lines": wrong_lines,
        "shifted_taken": _share(found[False]),
        "shifted_taken_pauses": _share(found[True]),
        "drawn_wrong": sum(one["wrong"] for one in drawn.values()),
        "drawn_pairs": sum(one["right"] for one in drawn.values()),
        "drawn_taken": _share(drawn[False, False]),
        "drawn_taken_pauses": _share(drawn[True, False]),
        "drawn_taken_faults": _share(drawn[False, True]),
        "drawn_taken_faults_pauses": _share(drawn[True, True]),
    }


def _share(found: Counter[str]) -> float:
    return round((found["taken"] - found["wrong"]) / max(1, found["right"]), 4)
