"""A gateway with loggers that push and meters that are asked, what happens to them, and their books afterwards."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.model import Config
from gateway.records import StoredRecord
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, Event, parse_record
from ledger_client.formats.senml import Reading
from ledger_client.recording_grid import Grid, due_by
from ledger_client.recording_series import series_count
from tests.support.gateways.sites import before, bus_table, make_site, meter_table, over_http, table
from tests.support.processes import EmbeddedLedger, Server, free_port

STATIONS = "stack-steady", "stack-away", "stack-dead", "stack-faster"
METERS = "feeder-steady", "feeder-dead"
OF = {"hj212": STATIONS, "dlt645": METERS}
ENERGY = "energy_import"
"""What is asked of a meter: it never shows the same twice for long."""


@dataclass(frozen=True, slots=True)
class Course:
    """What happens in ``seconds`` of plant time: one third without a message of a station and without an answer of a
    meter, a connection that is gone for two ninths, with later upload, a station that halves its interval."""

    seconds: float

    @property
    def message_s(self) -> int:
        """Between two messages of a station; labels have whole seconds, and one halves it."""
        return 4 if self.seconds >= 120 else 2

    @property
    def poll_s(self) -> int:
        """Between two polls of a meter."""
        return 5 if self.seconds >= 120 else 2

    @property
    def faults(self) -> str:
        """As a scenario has them."""
        s = self.seconds
        struck = (
            ("stack-away", "offline", 0.35 * s, 0.35 * s + s * 2 / 9),
            ("stack-dead", "dead", 0.5 * s, 0.5 * s + s / 3),
            ("stack-faster", "faster", 0.6 * s, s),
            ("feeder-dead", "dead", 0.5 * s, 0.5 * s + s / 3),
        )
        return "".join(
            f'[[fault]]\nmeter = "{meter}"\nkind = "{kind}"\nfrom = {begin}\nto = {end}\n'
            for meter, kind, begin, end in struck
        )


class Plant(Server):
    """The stations and meters, simulated; what they sent and what was answered is in ``log_of_answers``."""

    def __init__(self, folder: Path, course: Course, listen: int, port: int) -> None:
        stations = "".join(
            f'  [[bus.meter]]\n  name = "{name}"\n  address = "{address(name)}"\n  realtime_s = {course.message_s}\n'
            "  timeout_s = 1.0\n  reconnect_s = 0.2\n"
            for name in STATIONS
        )
        meters = "".join(
            f'  [[bus.meter]]\n  name = "{name}"\n  profile = "dlt645-three-phase"\n  address = "{address(name)}"\n'
            f'  measures = "load"\n  energy_import_kwh = {1000 * number}\n'
            for number, name in enumerate(METERS, 1)
        )
        scenario = folder / "plant.toml"
        scenario.write_text(
            f"[plant]\nseed = 4\nload_kw = 900000\n[plant.stack]\nfuel_kg_h = 5000\n"
            f'[[bus]]\nname = "cems"\ntype = "hj212"\nport = {listen}\n{stations}'
            f'[[bus]]\nname = "feeders"\ntype = "dlt645"\nport = {port}\n{meters}{course.faults}'
        )
        self.log_of_answers = folder / "answers.jsonl"
        options = ["--dir", folder, "--log", self.log_of_answers, "--ready", folder / "ready.json"]
        line = [sys.executable, "-u", "-m", "firmware_sim.cli", "run", str(scenario), *map(str, options)]
        super().__init__("plant", line, "bus feeders", folder / "plant.log")


def address(name: str) -> str:
    """The station number of a station, the address of a meter."""
    return f"{[*STATIONS, *METERS].index(name) + 1:012}"


def both_protocols(folder: Path, ledger: EmbeddedLedger, course: Course) -> tuple[Config, int, int]:
    """A gateway of one bus of each protocol, enrolled at the ledger, and the ports of the two."""
    listen, port = free_port(), free_port()
    message, poll = f"{course.message_s}s", f"{course.poll_s}s"
    stations = [
        meter_table(name, "hj212-cems-realtime", address(name), message, clock_limit="10s") for name in STATIONS
    ]
    meters = [meter_table(name, "dlt645-three-phase", address(name), poll, points=[ENERGY]) for name in METERS]
    place = {"host": "127.0.0.1", "port": port, "timeout": "500ms", "answer_life": "600ms"}
    loaded = make_site(
        folder,
        table("store", commit_every="1s"),
        table("seal", every="5s"),
        bus_table("cems", "hj212", stations, listen=f"127.0.0.1:{listen}"),
        bus_table("feeders", "dlt645", meters, **place),
        since_s=before(0),
        ledgers=over_http(ledger),
    )
    return loaded, listen, port


@dataclass(slots=True)
class Account:
    """One protocol's books. ``due`` is as signed; ``recounted``: from the signed records alone."""

    due: int = 0
    recounted: int = 0
    recorded: int = 0
    readings: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0

    def figures(self, protocol: str) -> dict[str, object]:
        """As a benchmark prints them."""
        missed = {f"{protocol}_missed_{reason.replace('-', '_')}": n for reason, n in sorted(self.missed.items())}
        named = {
            "due": self.due,
            "due_recounted": self.recounted,
            "recorded": self.recorded,
            "unbalanced": self.due - self.recorded - sum(self.missed.values()),
            "lost": self.lost,
            "doubled": self.doubled,
        }
        return {**{f"{protocol}_{name}": n for name, n in named.items()}, **missed}


def accounts(loaded: Config, log: Path) -> dict[str, Account]:
    """The books of both protocols, beside what the plant says."""
    store = Database(loaded.database, read_only=True)
    rows = store.records.rows(1, 1 << 60)
    heard = Counter(
        (str(m), str(label), int(part)) for m, label, part in store.all("SELECT meter, label, part FROM heard")
    )
    store.close()
    found = {protocol: _counted(rows, meters) for protocol, meters in OF.items()}
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    pushed, asked = found["hj212"], found["dlt645"]
    acknowledged = _acknowledged(entries)
    pushed.lost = len(acknowledged - heard.keys())
    pushed.doubled = sum(count - 1 for count in heard.values()) + max(0, pushed.readings - heard.total())
    for meter in METERS:
        lost, doubled = _asked(rows, entries, meter)
        asked.lost, asked.doubled = asked.lost + lost, asked.doubled + doubled
    assert acknowledged
    return found


def _counted(rows: Iterable[StoredRecord], meters: Sequence[str]) -> Account:
    """Coverage as signed, and counted again by what the gateway's signed events announce."""
    account, grids = Account(), defaultdict[str, list[Grid]](list)
    series, moments = set[str](), defaultdict[str, list[int]](list)
    for row in rows:
        body = parse_record(row.data).body
        if isinstance(body, Event) and row.meter == "gateway":
            its_meters: Mapping[str, Any] = body.fields.get("meters", {})
            series |= {meter for meter, its in its_meters.items() if its.get("series")}
            for meter, its in [
                *((m, t["grids"]) for m, t in its_meters.items()),
                *body.fields.get("grids", {}).items(),
            ]:
                grids[meter] += [(begins, period) for begins, period in its]
        elif row.meter in meters and isinstance(body, Reading):
            account.readings += 1
            if not body.late:
                moments[row.meter].append(body.time_ms)
        elif row.meter in meters and isinstance(body, Coverage):
            account.due, account.recorded = account.due + body.due, account.recorded + body.recorded
            account.missed.update(body.missed)
            account.recounted += _due(body, grids[row.meter], moments.pop(row.meter, []), series=row.meter in series)
    return account


def _due(body: Coverage, grids: Sequence[Grid], moments_ms: Sequence[int], *, series: bool) -> int:
    if not series:
        return due_by(grids, body.from_ms, body.to_ms)
    count = series_count(grids, body.from_ms, moments_ms)
    assert count.ends(body.to_ms), body
    return body.recorded + count.missed


def _acknowledged(entries: Sequence[Mapping[str, Any]]) -> set[tuple[str, str, int]]:
    """The messages that were acknowledged to a station as recorded: station, label, part."""
    sent = {(e["meter"], e["qn"]): (e["label"], e["pno"] or 1) for e in entries if e.get("label") is not None}
    acknowledged = ((e["meter"], e["qn"]) for e in entries if e.get("received") == "9014")
    return {(meter, str(sent[meter, qn][0]), sent[meter, qn][1]) for meter, qn in acknowledged if (meter, qn) in sent}


def _asked(rows: Iterable[StoredRecord], entries: Sequence[Mapping[str, Any]], meter: str) -> tuple[int, int]:
    """Of a meter that is asked: answers that stand in no reading and that no miss admits; readings of one moment."""
    values, times, missed = Counter[str](), Counter[int](), 0
    for row in rows:
        body = parse_record(row.data).body if row.meter == meter else None
        if isinstance(body, Reading):
            times[body.time_ms] += 1
            values.update(str(value.value) for value in body.values if value.name == ENERGY)
        elif isinstance(body, Coverage):
            missed += sum(body.missed.values())
    answered = Counter(
        _plain(e["values"][ENERGY]) for e in entries if e["meter"] == meter and ENERGY in e.get("values", {})
    )
    recorded = Counter({_plain(value): n for value, n in values.items()})
    assert answered
    return max(0, (answered - recorded).total() - missed), sum(n - 1 for n in times.values())


def _plain(value: object) -> str:
    return f"{float(str(value)):.2f}"
