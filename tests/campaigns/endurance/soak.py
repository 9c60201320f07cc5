"""Everything at once, for half an hour: faults of lines, meters, broker, ledgers and clock, and kills. Nothing is lost.

Two gateways (`meterseal run`) with ten times the demonstration's meters each, on serial lines of their own and over
TCP, anchor every batch on two ledgers: one over HTTP behind a wire that breaks a fifth of the requests, one over MQTT.
By chance lines disturb, delay, cut and lose answers, meters are dead, all meters of a site hang or go away with their
ports; the broker and the ledgers are stopped, hung (SIGSTOP) and killed; the machine's clock is set back and forth and
loses its synchronisation (an injected one: the real one is never set). Only the gateway "struck" is killed (SIGKILL)
and started again; "steady" lives through the whole run, so it is the one that is weighed.

It is weighed twice, at 20 % of the run and at its end, in stretches of up to 30 s in which nothing strikes: the median
of its resident memory, and the number of open files and asyncio tasks that most looks find. At the end both are stopped
in order, what waits is anchored, and all books are opened. ``lost``: due polls that are neither a reading nor counted
as missed, and undisturbed answers of the meters' log that stand in no reading although nothing there says that
something was missed. ``duplicated``, ``forked`` and ``untiled`` are those of ``crash``; ``unverified`` counts what the
tests' own checks of database and ledgers say against them, ``audit_findings`` what `meterseal-ledger audit` finds in
their exports. ``anchored``: batches by ledger, which must all be there.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.campaigns.endurance.soak_books import Verdict
from tests.campaigns.endurance.soak_plan import Course, counted
from tests.campaigns.endurance.soak_plant import PLANTS
from tests.campaigns.endurance.soak_site import STEADY, STRUCK, World, world
from tests.campaigns.failures.crash_books import Flaws

SMALLEST = ({"seconds": 20},)


def run(seconds: float = 1800.0, seed: int = 20261125) -> dict[str, object]:
    """``seconds`` of it, at least 20; below 300 faults are shorter, and half of the lines are left alone.

    What strikes when follows from ``seed``.
    """
    began, course, chance = time.monotonic(), Course(max(20.0, seconds)), random.Random(seed)
    with tempfile.TemporaryDirectory() as name, world(Path(name), course, chance) as here:
        here.soak(chance)
        for error in here.trouble:
            raise error
        verdicts = here.verdicts()
        return {"seconds": course.seconds, "seed": seed, **_figures(here, verdicts), "took_s": time.monotonic() - began}


def _figures(here: World, verdicts: list[Verdict]) -> dict[str, object]:
    flaws = Flaws()
    for verdict in verdicts:
        flaws = flaws.plus(verdict.flaws)
        for fault in verdict.unverified:
            print(fault, file=sys.stderr)
    struck, early, end = counted(here.done), here.weight(0), here.weight(1)
    on_lines = counted(s for site in here.sites.values() for s in site.on_lines)
    lines = Counter[str]()
    for words, count in on_lines.items():
        lines[f"line {words.partition(' ')[2]}"] += count
    return {
        "gateways": len(verdicts),
        "load_times_demo": PLANTS,
        "values_due_per_s_and_gateway": verdicts[0].values_due_per_s,
        "values_recorded_per_s_and_gateway": verdicts[0].values / here.course.seconds,
        "faults": {**struck, **lines, **{f"wire {fate}": n for fate, n in here.wire.broken.items() if fate != "fine"}},
        "kills": sum(count for name, count in struck.items() if name.startswith("gateway")),
        "starts_refused": here.sites[STRUCK].refused_starts,
        "records": sum(v.records for v in verdicts),
        "readings": sum(v.readings for v in verdicts),
        "answers_checked": sum(v.answered for v in verdicts),
        "answers_missed_and_counted": sum(v.explained for v in verdicts),
        "lost": flaws.lost,
        "duplicated": flaws.duplicated,
        "forked": flaws.forked,
        "untiled": flaws.untiled,
        "unverified": sum(len(v.unverified) for v in verdicts),
        "audit_findings": sum(v.audit_findings for v in verdicts),
        "batches": sum(v.batches for v in verdicts),
        "anchored": {name: sum(v.anchored[name] for v in verdicts) for name in here.ledgers},
        "resident_20pct_mb": early.resident_mb,
        "resident_end_mb": end.resident_mb,
        "resident_ratio": end.resident_mb / early.resident_mb,
        "fds_20pct": early.fds,
        "fds_end": end.fds,
        "tasks_20pct": early.tasks,
        "tasks_end": end.tasks,
        "weighed": STEADY,
    }
