"""Every fault at every call of every operation (``torn_work.OPERATIONS``), and the books after each."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.config.load import load_config
from tests.campaigns.failures.torn_books import Findings, Report, examine, read_report
from tests.campaigns.failures.torn_work import GOES_ON, KILLED, OPERATIONS, Life, Request
from tests.support.gateways.sites import believed, init_site
from tests.system.disk.torn_disk import ANY, CACHE_OF_FILE, FAULTS, SYNCS, WRITES, Control, environment, roll_back

POWER_CUT = "power-cut"
ENDINGS = (GOES_ON, KILLED, POWER_CUT)
KINDS = {
    "eio": ("eio", ANY),
    "enospc": ("enospc", ANY),
    "short": ("short", WRITES),
    "short_enospc": ("short-enospc", WRITES),
    "fsync": ("eio", SYNCS),
}
"""Faults by name: what happens, and to which calls."""


@dataclass(frozen=True, slots=True)
class Case:
    """One fault at one call of one operation, and what becomes of the process."""

    operation: str
    fault: str
    at: int
    sticky: bool
    ending: str


class Bench:
    """Sites under a failing disk in one folder, and the process that works on them."""

    def __init__(self, folder: Path, control: Control, process: subprocess.Popen[str]) -> None:
        self.folder, self.control, self._process = folder, control, process
        self.journal = folder / "journal"
        self.troubles: Counter[str] = Counter()

    def fresh(self, operation: str) -> tuple[Path, Path]:
        """A site as it stands before an operation, and its empty report."""
        site, report = self.folder / "sites" / "site", self.folder / "report"
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(self.folder / ("new" if OPERATIONS[operation].new_site else "used"), site)
        shutil.copy(self.folder / "used.report", report) if not OPERATIONS[operation].new_site else report.write_bytes(
            b""
        )
        return site, report

    def ask(self, request: Request) -> int:
        """Have a request carried out; its exit status, negative for a signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def calls(self, operation: str) -> dict[int, int]:
        """How many calls an operation makes to its files: writes, syncs, and any."""
        self.control.set(fault=0, cache=0, kinds=ANY)
        site, report = self.fresh(operation)
        assert self.ask(Request(str(site), str(report), 1, operation)) == 0
        found = {WRITES: self.control.get("writes"), SYNCS: self.control.get("syncs"), ANY: self.control.calls}
        assert all(found.values()), "sqlite3 passes the library by: has it a libc of its own?"
        return found

    def carry_out(self, case: Case) -> tuple[bool, Report]:
        """One case up to its ending; false if the fault never came. The site's books are still closed."""
        name, kinds = KINDS[case.fault]
        self.control.set(
            armed=0, fault=FAULTS.index(name), kinds=kinds, at=case.at, sticky=case.sticky,
            cache=CACHE_OF_FILE if case.ending == POWER_CUT else 0, honour=100, chance=1,
        )  # fmt: skip
        site, report = self.fresh(case.operation)
        ending = GOES_ON if case.ending == GOES_ON else KILLED
        self.ask(Request(str(site), str(report), 1, case.operation, ending, case.sticky))
        came = self.control.get("hit") > 0
        if case.ending == POWER_CUT:
            roll_back(self.folder / "sites", self.journal)
        return came, read_report(report)

    def examine(self, before: Report, life_number: int, ledger: Path | None = None) -> tuple[bool, Findings]:
        """Start the site again on a sound disk and open its books; whether it recorded."""
        loaded = load_config(self.folder / "sites" / "site" / "gateway.toml")
        life = Life(loaded, self.folder / "afterwards", life_number, ledger)
        resumed = life.open() and life.resumes()
        if life.recorder is not None:
            life.stop()
        life.close()
        return resumed, examine(loaded, before)


@contextmanager
def bench(library: Path, folder: Path) -> Iterator[Bench]:
    """A bench in a new folder, with a site that was never started and one that has lived once."""
    (folder / "sites").mkdir(parents=True)
    loaded = init_site(folder / "new", gateway="torn", now_s=1_700_000_000)
    believed(folder / "new" / "ledger", loaded, loaded.document.ledger[0].name)
    shutil.copytree(folder / "new", folder / "used")
    life = Life(load_config(folder / "used" / "gateway.toml"), folder / "used.report", 0)
    assert life.open()
    assert life.resumes()
    life.stop()
    life.close()
    control = Control(folder / "control")
    command = [sys.executable, "-m", "tests.campaigns.failures.torn_work", str(control.path)]
    env = environment(library, folder / "sites", control.path, folder / "journal")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    try:
        yield Bench(folder, control, process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def all_cases(calls: dict[str, dict[int, int]]) -> list[Case]:
    """Every fault at every call of its kind that an operation makes."""
    return [
        Case(operation, fault, at, sticky, ending)
        for operation, counts in calls.items()
        for fault, (_, kinds) in KINDS.items()
        for at in range(1, counts[kinds] + 1)
        for sticky in (False, True)
        for ending in ENDINGS
    ]


def every_case(library: Path, folder: Path, sample: int | None = None, seed: int = 1) -> dict[str, Any]:
    """Carry out every case, or a ``sample`` of them by chance, and count what the books say."""
    found: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    examples: list[str] = []
    with bench(library, folder) as site:
        calls = {operation: site.calls(operation) for operation in OPERATIONS}
        cases = all_cases(calls)
        if sample is not None:
            cases = random.Random(seed).sample(cases, min(sample, len(cases)))
        for case in cases:
            came, report = site.carry_out(case)
            if not came:
                continue
            faults[case.fault] += 1
            for what, count in _judged(site, case, report).items():
                found[what] += count
                examples.append(f"{what}: {case}")
    return {
        "cases": faults.total(),
        "by_operation": {operation: counts[ANY] for operation, counts in calls.items()},
        "faults": {fault: faults[fault] for fault in KINDS},
        **{what: found[what] for what in ("not_resumed", "broken", "lost", "duplicated", "forked", "untiled")},
        "examples": examples[:20],
    }


def _judged(site: Bench, case: Case, report: Report) -> Counter[str]:
    """What is wrong after a case; empty if nothing."""
    again, books = site.examine(report, 2)
    site.troubles.update(report.troubles)
    wrong = Counter(
        not_resumed=int(not again) + int(case.ending == GOES_ON and report.resumed is not True),
        broken=len(books.broken),
        lost=len(books.lost) + len(books.lost_statements),
        duplicated=len(books.duplicated),
        forked=len(books.forked) + report.twice,
        untiled=len(books.untiled),
    )
    return +wrong
