"""Command `meterseal demo --month`: a month of four plants in minutes, from its plan to recomputed statements.

A gateway's own recorder runs through the month on a clock that is moved (cli/demo/history.py), and so does the ledger
that takes its batches. Then follows what an accountant does, and what a stranger checks: the statement, the one that
supersedes it when the laboratory has sent its values, their evidence with a ledger's receipts, their recomputation.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from gateway.accounting.plans import signing
from gateway.accounting.plans.history import history_of
from gateway.accounting.plans.plan_check import check_plan
from gateway.accounting.plans.plan_file import NAME, read_plan
from gateway.accounting.statements import stating
from gateway.cli.demo import books, finish, supplied
from gateway.cli.demo.history import HistoryMaker
from gateway.cli.demo.parts import LEDGER_NAME, Place, end_with_parts, enrol, start_ledger
from gateway.cli.demo.plants import NEW_DEVICE_BEGINS_AT, Plants, Story
from gateway.commissioning.shipped_files import shipped
from gateway.commissioning.site_init import add_to_trust
from gateway.config.device_keys import make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.evidence.export import export_to
from gateway.process.console import console
from gateway.storage.database import Database
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import civil_text, month_ms

CIVIL_MIN = 480
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
DAYS = 31
EARLIER_MIN, PAST_THE_MINUTE_MS = 9, 7_000
"""Minutes from the start of the gateway to that of the month, and ms past a full minute: no poll falls on an hour."""
LATER_MIN = 30
ANCHOR_WITHIN_S = 120.0
FILES = ("gateway.toml", NAME, "energy-meter.toml", "coal-unit.toml", "battery-meter.toml")
LEDGER, BEGIN = "http://127.0.0.1:8700", "BEGIN"
"""What is written over in these files."""


@dataclass(slots=True)
class Took:
    """Seconds by step."""

    by_step: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def done(self, step: str) -> None:
        now = time.monotonic()
        self.by_step[step], self._since = round(now - self._since, 1), now


def main(folder: Path, seconds: float | None, *, as_json: bool) -> int:
    """The whole month, or as many full hours of it as ``seconds`` have, at least one. Returns the exit code: 0 when
    both statements are recomputed equal and I8 holds for each node of them."""
    out = console(stderr=as_json)
    with ExitStack() as children:
        month = lived(children, folder, seconds, out)
    if as_json:
        print(json.dumps(month.found))
    else:
        out.print("\n".join(lines(month)))
    return 0 if month.sound else 1


@dataclass(frozen=True, slots=True)
class Month:
    """What has been lived through, stated and recomputed; its ledger serves on at ``ledger``. ``found``: as JSON has
    it."""

    place: Place
    config: Config
    ledger: str
    evidence: Path
    stated: Sequence[stating.Made]
    found: dict[str, Any]
    took: Took

    @property
    def sound(self) -> bool:
        """Whether the statements are recomputed equal and their books close."""
        return bool(self.found["equal"] and self.found["i8"])


def lived(children: ExitStack, folder: Path, seconds: float | None, out: Console) -> Month:
    """The month, or as much of it as ``main`` says, up to the recomputation of its statements."""
    place, took = Place.begin(folder), Took()
    end_with_parts()
    from_ms, to_ms = last_month(int(time.time() * 1000))
    if seconds is not None:
        to_ms = min(to_ms, from_ms + max(1, int(seconds / 3600)) * HOUR_MS)
    out.print(f"setting up a gateway and a ledger in {folder} …")
    began_ms = from_ms - EARLIER_MIN * MINUTE_MS + PAST_THE_MINUTE_MS
    place.set_clock(began_ms)
    ledger = start_ledger(children, place)[1]
    config = _site(place, ledger, from_ms)
    took.done("set up")
    out.print(
        f"{_civil(from_ms)} to {_civil(to_ms)}: a hydro station, a coal unit, a factory and a battery live through it …"
    )
    maker = HistoryMaker(config, began_ms)
    _live(maker, config, place, (to_ms - from_ms) // MINUTE_MS)
    took.done("history")
    evidence = place.folder / "evidence"
    stated = _account(maker, config, place, evidence, from_ms, to_ms)
    place.set_clock(None)
    took.done("statements")
    finish.finish(config, within_s=ANCHOR_WITHIN_S)
    found: dict[str, Any] = {"from": from_ms, "to": to_ms, **_exported(config, evidence)}
    took.done("anchors and export")
    out.print("recomputing the statements from the exports, as a stranger does …")
    done = _recomputed(config, evidence)
    took.done("recompute")
    found["statements"] = [books.books_of(made) for made in stated]
    found["i8"] = all(one["i8"] for one in found["statements"])
    found |= {"equal": done.returncode == 0, "answer": done.stdout.partition("\n")[0], "took_s": took.by_step}
    found |= {"config": str(config.path), "evidence": str(evidence), "trust": str(config.trust)}
    if not found["equal"]:
        out.print(done.stdout + done.stderr)
    return Month(place, config, ledger, evidence, stated, found, took)


def lines(month: Month) -> list[str]:
    """The same for people."""
    first, last = month.found["statements"]
    return [*books.superseded(first), *books.lines(month.stated[-1], last), *_facts(month.found)]


def _recomputed(config: Config, evidence: Path) -> subprocess.CompletedProcess[str]:
    """The command that says yes or no to the evidence and the rows, completed."""
    folders = [str(evidence), str(config.data / stating.FOLDER)]
    command = [sys.executable, "-m", "ledger_client.cli", "recompute", *folders, "--trust", str(config.trust)]
    return subprocess.run([*command, "--gateway", config.gateway_id], capture_output=True, text=True)


def last_month(now_ms: int) -> tuple[int, int]:
    """From and to of the last civil month of 31 days that has been over for a day."""
    local = datetime.fromtimestamp((now_ms - DAY_MS) / 1000, UTC) + timedelta(minutes=CIVIL_MIN)
    year, month = local.year, local.month
    while True:
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
        from_ms, to_ms = month_ms(year, month, CIVIL_MIN), month_ms(year, month + 1, CIVIL_MIN)
        if to_ms - from_ms == DAYS * DAY_MS:
            return from_ms, to_ms


def _civil(time_ms: int) -> str:
    return civil_text(time_ms, CIVIL_MIN)


def _site(place: Place, ledger: str, from_ms: int) -> Config:
    """The shipped files of the month, with keys that count from the day before it; enrolled at the ledger."""
    place.site.mkdir()
    for name in FILES:
        text = shipped(f"month/{name}").read_text()
        (place.site / name).write_text(text.replace(LEDGER, ledger).replace(BEGIN, _civil(from_ms)))
    config = load_config(place.site / FILES[0])
    since_s = (from_ms - DAY_MS) // 1000
    add_to_trust(config, make_missing(config, since_s), since_s)
    enrol(config, place)
    return config


def _live(maker: HistoryMaker, config: Config, place: Place, minutes: int) -> None:
    """Publish the plan, poll through the time and a little more, state the registers of the meter that is exchanged.
    Each batch is taken to the ledger as soon as it is sealed, also the last one."""
    story = Story.of(minutes)
    plants = Plants(story)
    fields = read_plan(config.path.parent / NAME)
    if problems := check_plan(config, fields).problems:
        raise GatewayError(problems[0])
    _sign(maker, words.PLAN, fields)
    for minute in range(-EARLIER_MIN, minutes + LATER_MIN):
        if minute == story.exchanged.end:
            last, first = {"energy": plants.last_kwh}, {"energy": plants.factory_kwh(minute)}
            maker.exchange("factory", {"identity": "demo-2", "old": "demo-1", "last": last, "first": first})
            time_ms = maker.clock.now_ms()
            maker.poll(plants.shown(minute))
            values = {"final": plants.last_kwh, "initial": NEW_DEVICE_BEGINS_AT}
            entry = {
                "kind": "register", "of": "factory/energy", "from": time_ms, "to": time_ms, "unit": "kWh",
                "values": values, "reason": "meter exchanged", "user": "demo",
            }  # fmt: skip
            _sign(maker, words.ENTRY, entry)
        else:
            maker.poll(plants.shown(minute))
        _anchor(maker, config, place)
    maker.seal()
    _anchor(maker, config, place)


def _anchor(maker: HistoryMaker, config: Config, place: Place) -> None:
    """Have the ledger take what is sealed, by the clock of this history."""
    if maker.store.anchors.count_open(LEDGER_NAME):
        place.set_clock(maker.clock.now_ms())
        finish.anchor(config, maker.store, within_s=ANCHOR_WITHIN_S)


def _sign(maker: HistoryMaker, name: str, fields: Mapping[str, Any]) -> None:
    """Sign an event of accounting, checked as it is in an order to a running gateway."""
    maker.sign(signing.event_of(name, signing.encoded(fields)))


def _account(
    maker: HistoryMaker, config: Config, place: Place, evidence: Path, from_ms: int, to_ms: int
) -> list[stating.Made]:
    """What an accountant does: state the period, enter what the laboratory sends late and what lacks, state it anew.
    The gateway is stopped then, and the ledger has both."""
    first = _state(maker, config, from_ms, to_ms, None)
    for entry in supplied.entries(first, evidence, config.data):
        _sign(maker, words.ENTRY, entry)
    maker.seal()
    second = _state(maker, config, from_ms, to_ms, "laboratory values of the coal")
    maker.seal()
    _anchor(maker, config, place)
    maker.end()
    return [first, second]


def _state(maker: HistoryMaker, config: Config, from_ms: int, to_ms: int, reason: str | None) -> stating.Made:
    """State the period, or its next version, and sign that."""
    history = history_of(maker.store)
    plan = history.plans[0].plan.name
    (part,) = stating.parts(history, plan, from_ms, to_ms)
    made = stating.make(maker.store, history, part, config.data / stating.FOLDER, reason)
    stating.keep_rows(made)
    _sign(maker, words.PERIOD, made.statement.fields)
    return made


def _exported(config: Config, folder: Path) -> dict[str, int]:
    """Write every batch to a file; how many records and batches there are."""
    store = Database(config.database, read_only=True)
    try:
        for _ in export_to(store, config.gateway_id, [batch.batch for batch in store.batches.all()], folder):
            pass
        totals = store.totals()
    finally:
        store.close()
    return {"records": totals["records"], "batches": totals["batches"]}


def _facts(found: Mapping[str, Any]) -> list[str]:
    steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in found["took_s"].items())
    rows = Path(found["statements"][0]["rows"]).parent
    paths = f"{found['evidence']} {rows} --trust {found['trust']}"
    return [
        f"{found['records']} records in {found['batches']} batches",
        f"took: {steps}",
        f"again:   meterseal-ledger recompute {paths}",
        found["answer"],
    ]
