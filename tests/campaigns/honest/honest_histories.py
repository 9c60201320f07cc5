"""Honest histories by chance: reloads, kills, clocks, disks, thinning, series; an audit of each finds nothing.

Each is that of a gateway with three meters (``tests/support/clock_history.py``): the shipped journal, recorder and
schedule of a line, on a machine whose time goes on only as the history says. ``EPOCHS`` times it begins, and ends by a
kill, a stop, or a database that another one wrote; within, meters fall silent, the clock is set and lost, the disk is
slow, full, or fails, what is recorded is thinned, and the configuration changes; in half of them one meter is a series.
Then the books are opened, and all that was sealed is audited.

``findings`` counts what the audits found and what the books say, ``findings_of`` says of which history: the one with
``seed`` alone is ``--seed SEED --histories 1``. ``kinds``: how many histories each kind of event befell; ``ends``: how
often an epoch ended so.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.audited import audited
from tests.support.clock_history import History
from tests.support.samples import site

SMALLEST: tuple[dict[str, Any]] = ({"histories": 15, "processes": 1},)
EPOCHS = 4
PORTION = 25
"""Histories in one piece of work."""
KINDS = {
    "reload": ("changed",),
    "kill": ("killed",),
    "clock": ("clock set", "_lose_clock"),
    "disk": ("disk frail",),
    "thinning": ("thinned",),
    "series": ("messages",),
}
"""By what a history tells that something befell it."""
KEY = {"key": ("key stopped",)}
"""The same where the statement key is in a token."""
ENDS = "killed", "stopped", "start again"


class Lived(NamedTuple):
    """One history: what befell it, and what is said against it, each with the step of the audit, or ``books``."""

    seed: int
    done: Counter[str]
    findings: list[tuple[str, str]]


def run(histories: int = 2000, seed: int = 0, processes: int = 2, *, token: bool = False) -> dict[str, object]:
    """Histories of ``seed``, ``seed`` + 1 …, in so many processes; with the statement key in a ``token`` that stops and
    goes on."""
    befalls = KINDS | (KEY if token else {})
    began, done, kinds, found = time.monotonic(), Counter[str](), Counter[str](), list[dict[str, object]]()
    for lived in sorted(_all_of(range(seed, seed + histories), processes, token)):
        done += lived.done
        kinds.update(kind for kind, names in befalls.items() if any(lived.done[name] for name in names))
        found += [{"seed": lived.seed, "code": code, "text": text} for code, text in lived.findings]
    for each in found[:20]:
        print(f"found: {each}", file=sys.stderr)
    return {
        "histories": histories,
        "seed": seed,
        "findings": len(found),
        "findings_of": found,
        "kinds": {kind: kinds[kind] for kind in befalls},
        "ends": {end: done[end] for end in ENDS},
        "seconds": time.monotonic() - began,
    }


def _all_of(seeds: range, processes: int, token: bool) -> Iterator[Lived]:
    portions = [seeds[n : n + PORTION] for n in range(0, len(seeds), PORTION)]
    if processes == 1:
        for portion in portions:
            yield from _portion(portion, token)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for work in as_completed([pool.submit(_portion, portion, token) for portion in portions]):
            yield from work.result()


def _portion(seeds: Iterable[int], token: bool) -> list[Lived]:
    with _quiet(), tempfile.TemporaryDirectory() as name:
        loaded, files = site(Path(name) / "site"), Path(name) / "files"
        return [_lived(History(loaded, random.Random(seed), away=token), seed, files) for seed in seeds]


@contextmanager
def _quiet() -> Iterator[None]:
    """What the gateways log is not for whoever reads the figures."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _lived(history: History, seed: int, files: Path) -> Lived:
    try:
        history.run(EPOCHS)
        history.end()
        result = audited(history.loaded, files)
    except Exception as error:  # what breaks is said of its history, and the others go on
        return Lived(seed, history.done, [("books", f"{type(error).__name__}: {error}")])
    findings = [(finding.step, f"{finding.record or finding.batch}: {finding.detail}") for finding in result.findings]
    return Lived(seed, history.done, findings if result.batches else [("books", "nothing was sealed"), *findings])
