"""Stations that upload HJ 212: is every message that was acknowledged in the database, and in it once?

``stations`` loggers send a packet a second each for ``seconds`` to `meterseal run` on an empty folder. Half-way it is
killed (SIGKILL) and started again; the loggers send again what was not answered. At the end the acknowledged messages
are compared with the records of the database, and each of these is verified. Time to 9014 is that of messages that were
sent once, outside the seconds around the kill. ``memory_growth`` is the larger of the two lives' resident memory at its
end over that at ``LOOK_AFTER_S``.

Then the disk is held: two more gateways stop for ever, one before a commit and one behind a commit, before anybody
hears of it (fail points ``commit`` and ``committed``); both are killed and started again. ``acknowledged_held`` counts
the messages that were sent after that and acknowledged all the same, ``recorded_not_acknowledged`` those that were in
the database when it was killed, whose loggers had to send them again.

At last ``leak_stations`` stations send every ``leak_interval_s`` for ``leak_seconds``, one of which opens 600
connections more and never closes one: 1,000 stations, whose limit of 2,000 connections is not reached, and 200, whose
limit of 500 is. ``not_recorded`` counts messages that were made and are not in the database at the end; ``alarm`` is
what the alarm says of the connections ("": none).
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.process.control_socket import give
from tests.campaigns.streams.hj212_site import Outcome, Site, gateway, loggers, recorded, stations_site
from tests.support.books import check_books
from tests.support.gateways.weight import cpu_s, weigh
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, until

LOOK_AFTER_S = 10.0
UNDISTURBED_S = 2.0
"""Before and after a start, messages are not timed."""
PATIENCE_S, HELD_S, MORE_S = 60.0, 8.0, 5.0
ARRIVAL = 12
"""Of the commit at which the disk is held."""
LEAKED, LEAK_S, LEAK_INTERVAL_S = 600, 30.0, 5.0
SMALLEST: tuple[dict[str, Any], ...] = (
    {"stations": 5, "seconds": 6.0, "held_s": 1.5, "leaks": (5,), "leak_seconds": 4.0, "leak_interval_s": 1.0},
)


def run(
    stations: int = 200,
    seconds: float = 60.0,
    held_s: float = HELD_S,
    leaks: Sequence[int] = (1000, 200),
    leak_seconds: float = LEAK_S,
    leak_interval_s: float = LEAK_INTERVAL_S,
) -> dict[str, object]:
    """``stations`` send for ``seconds``; twice in front of a disk that is held for ``held_s``; then, for each number
    of stations in ``leaks``, that many of which one leaks connections."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with embedded_ledger(folder / "ledger", "demo-ledger") as ledger:
            figures = _killed(stations_site(folder / "killed", ledger, stations), stations, seconds)
        for station in ("commit", "committed"):
            with embedded_ledger(folder / f"ledger-{station}", "demo-ledger") as ledger:
                figures[f"held_at_{station}"] = _held(
                    stations_site(folder / station, ledger, stations), stations, station, held_s
                )
        for many in leaks:
            with embedded_ledger(folder / f"ledger-leak-{many}", "demo-ledger") as ledger:
                site = stations_site(folder / f"leak-{many}", ledger, many, every=f"{leak_interval_s:g}s")
                figures[f"leaking_of_{many}"] = _leaking(site, many, leak_seconds, leak_interval_s)
        return figures


def _killed(site: Site, stations: int, seconds: float) -> dict[str, object]:
    life_s = seconds / 2
    process = gateway(site)
    process.start()
    with loggers(site, stations, seconds) as running:
        begun_s = time.time()
        first = _Life(process, life_s)
        process.kill()
        killed_s = time.time()
        process.start()
        restarted_s = time.time()
        second = _Life(process, begun_s + seconds - restarted_s)
        outcome = running.ended(PATIENCE_S)
    assert process.stop() == 0
    check_books(site.loaded)
    apart_s = min(UNDISTURBED_S, seconds / 10)
    times = outcome.answer_ms(begun_s + apart_s, killed_s - apart_s)
    times = sorted(times + outcome.answer_ms(restarted_s + apart_s, begun_s + seconds))
    in_first = sum(first.begin_s <= at_s < first.end_s for at_s in outcome.answered_s.values())
    in_second = sum(second.begin_s <= at_s < second.end_s for at_s in outcome.answered_s.values())
    return {
        "stations": stations,
        "seconds": seconds,
        **_books(outcome, recorded(site.loaded)),
        "strays": len(outcome.strays),
        "answer_ms_median": times[len(times) // 2],
        "answer_ms_p99": times[len(times) * 99 // 100],
        "answer_ms_max": times[-1],
        "cpu_s_per_1000_packets": 1000 * (first.cpu_s + second.cpu_s) / (in_first + in_second),
        "memory_mb_10s": second.memory_mb,
        "memory_mb_end": second.memory_end_mb,
        "memory_growth": max(life.memory_end_mb / life.memory_mb for life in (first, second)),
        "down_s": restarted_s - killed_s,
    }


class _Life:
    """One life of the gateway, from now on for so long: its CPU time after ``LOOK_AFTER_S``, its memory then and at its
    end."""

    def __init__(self, process: GatewayProcess, seconds: float) -> None:
        assert process.process is not None
        pid, before_s = process.process.pid, min(LOOK_AFTER_S, seconds / 2)
        time.sleep(max(0.0, before_s))  # on a busy machine the restart alone has taken longer
        self.begin_s, cpu, self.memory_mb = time.time(), cpu_s(pid), weigh(pid).resident_mb
        time.sleep(max(0.0, seconds - before_s))
        self.end_s, self.cpu_s, self.memory_end_mb = time.time(), cpu_s(pid) - cpu, weigh(pid).resident_mb


def _held(site: Site, stations: int, station: str, held_s: float) -> dict[str, object]:
    flag = site.loaded.path.with_name("held")
    process = gateway(site, f"{station}:{ARRIVAL}:{flag}")
    process.start()
    with loggers(site, stations, held_s + MORE_S) as running:
        until(f"the gateway to be held at {station}", flag.exists)
        held_at_s = flag.stat().st_mtime
        time.sleep(held_s)
        process.kill()
        killed_s, before = time.time(), set(recorded(site.loaded))
        process = gateway(site)
        process.start()
        outcome = running.ended(PATIENCE_S)
    assert process.stop() == 0
    there = recorded(site.loaded)
    answered = {message for message, at_s in outcome.answered_s.items() if at_s < killed_s}
    return {
        "sent_held": sum(held_at_s < at_s < killed_s for at_s in outcome.first_s.values()),
        "acknowledged_held": sum(outcome.first_s[message] > held_at_s for message in answered),
        "recorded_not_acknowledged": len(before - answered),
        **_books(outcome, there),
    }


def _leaking(site: Site, stations: int, seconds: float, interval_s: float) -> dict[str, object]:
    process = gateway(site)
    process.start()
    with loggers(site, stations, seconds, interval_ms=round(1000 * interval_s), leaked=LEAKED) as running:
        outcome = running.ended(seconds + PATIENCE_S)
    alarms = give(site.loaded.data, "alarms")["alarms"]
    named = [alarm["text"] for alarm in alarms if alarm["code"] == "too-many-connections"]
    assert process.stop() == 0
    there = recorded(site.loaded)
    return {
        "stations": stations,
        "leaked": LEAKED,
        **_books(outcome, there),
        "not_recorded": len(set(outcome.sendings) - set(there)),
        "stations_recorded": len({station for station, _ in there}),
        "alarm": "".join(named),
    }


def _books(outcome: Outcome, there: Counter[tuple[int, int]]) -> dict[str, object]:
    return {
        "packets": len(outcome.sendings),
        "packets_sent_again": sum(count > 1 for count in outcome.sendings.values()),
        "acknowledged": len(outcome.answered_s),
        "not_acknowledged": len(outcome.sendings) - len(outcome.answered_s),
        "acknowledged_not_in_database": len(set(outcome.answered_s) - set(there)),
        "in_database_twice": sum(count > 1 for count in there.values()),
    }
