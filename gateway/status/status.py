"""Status and readings of a gateway from its database, as plain data and as tables. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.acquisition.validation import shared_flags
from gateway.anchoring.ledger_comparison import conflict_text
from gateway.config.access_files import fingerprint
from gateway.config.field_types import duration_text
from gateway.config.model import Config
from gateway.devices.points import Point, Profile
from gateway.errors import ConfigError, Damaged, StoreError
from gateway.messages.alarm_kinds import EQUIVOCATION, LEDGER_REFUSED, STOPPED
from gateway.process import instance_lock
from gateway.records import StoredRecord
from gateway.storage.capacity.forecast import horizon
from gateway.storage.database import RECOVER, Store
from gateway.storage.recovery import repair_report
from gateway.verdicts import verdict, worst
from ledger_client.errors import LedgerClientError
from ledger_client.formats.record import Body, Coverage, parse_record
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.times import rfc3339_ms
from ledger_client.transport.access import AccessError
from ledger_client.verification.explain import number_text, quality_phrases

OVERDUE_PERIODS = 3
HELD_MS = 180_000
"""So long may sealing wait for a ledger after a start before the status calls it a problem."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One value of one reading, with the record that proves it."""

    time_ms: int
    meter: str
    value: Value
    record: str

    @property
    def verdict(self) -> str:
        """good, uncertain, substituted, bad or missing."""
        return verdict(Quality(self.value.quality))

    @property
    def quality(self) -> str:
        """The verdict, and why it is not good."""
        reasons = ", ".join(quality_phrases(self.value.quality))
        return f"{self.verdict}: {reasons}" if reasons else self.verdict

    def beside(self, common: int) -> str:
        """The same without the bits that all values of the reading have, which stand below them."""
        if not common:
            return self.quality
        own = self.value.quality & ~common
        return f"{verdict(own)}: {', '.join(quality_phrases(own))}" if own else ""

    def symbol(self, points: Mapping[str, Point]) -> str:
        """What the profile's points call a status; "" where it has no name."""
        point = points.get(self.value.name)
        return point.symbol(self.value.value) if point else ""

    def named(self, points: Mapping[str, Point]) -> str:
        """The value for people, a status with what it is called."""
        symbol = self.symbol(points)
        return f"{self.text} ({symbol})" if symbol else self.text

    @property
    def text(self) -> str:
        """The value for people: of a float seven significant digits, as much as a 32-bit register holds."""
        value = self.value.value
        return "—" if value is None else f"{value:.7g}" if isinstance(value, float) else number_text(value)

    def as_json(self) -> dict[str, Any]:
        """Numbers with all their decimals, as text where JSON's own would round."""
        value = self.value.value
        return {
            "time": self.time_ms + self.value.offset_ms,
            "meter": self.meter,
            "name": self.value.name,
            "value": value if isinstance(value, int | float | str) or value is None else str(value),
            "unit": self.value.unit,
            "quality": {
                "verdict": self.verdict,
                "bits": int(self.value.quality),
                "words": list(quality_phrases(self.value.quality)),
            },
            "record": self.record,
        }


def _body(row: StoredRecord) -> Body:
    try:
        return parse_record(row.data).body
    except LedgerClientError as error:
        raise Damaged(f"record {row.id} does not hold: {error}", RECOVER) from None


def shown_reading(reading: Reading, meter: str, record: str) -> list[Shown]:
    """The values of one reading."""
    return [Shown(reading.time_ms, meter, value, record) for value in reading.values]


def shown(rows: Sequence[StoredRecord]) -> list[Shown]:
    """Every value of some readings, in order."""
    values = []
    for row in rows:
        body = _body(row)
        if isinstance(body, Reading):
            values += shown_reading(body, row.meter, row.id)
    return values


def status(
    config: Config,
    store: Store,
    now_ms: int,
    health: Mapping[str, Any] | None = None,
    feeds: Mapping[str, Mapping[str, Any] | None] | None = None,
) -> dict[str, Any]:
    """Meters, buffer, batches, anchors, feeds; ``problems`` says in words why ``healthy`` is false.

    ``health`` and ``feeds`` (by name) are what the running gateway says of itself, which a full disk cannot tell.
    """
    pid = instance_lock.running(config.data)
    now_ms = max(now_ms, store.latest_ms())  # the system's clock may be behind record times, which wait for it then
    meters = [_meter(store, name, meter.every, now_ms) for name, meter in config.meters.items()]
    ledgers = [_ledger(store, entry.name, entry.policy) for entry in config.document.ledger]
    problems = [] if pid is not None else ["the gateway is not running: nothing is being recorded"]
    for meter in meters:
        if meter["last"] is None:
            problems.append(f"meter {meter['name']}: no reading yet")
        elif pid is not None and meter["age_s"] * 1000 > OVERDUE_PERIODS * meter["every_ms"] + 5000:
            problems.append(
                f"meter {meter['name']}: last reading {meter['age_s']} s ago, "
                f"due every {duration_text(meter['every_ms'])}"
            )
    alarms = active_alarms(store, health) if pid is not None else []
    stopped = health["recording"] if health else None
    if stopped:
        problems.insert(0, f"recording stopped ({stopped['reason']}): {stopped['text']}")
    conflicts = [conflict_text(config.gateway_id, conflict, str(config.database)) for conflict in store.conflicts()]
    held = health["sealing"] if health else None
    if held and not conflicts and now_ms - store.epoch_began_ms() > HELD_MS:
        problems.append(held)
    problems += conflicts
    told = {EQUIVOCATION, LEDGER_REFUSED} | ({STOPPED} if stopped else set())  # above, or from the anchors themselves
    problems += [f"{x['text']} (since {rfc3339_ms(x['since'])})" for x in alarms if x["code"] not in told]
    problems += [f"ledger {x['name']}: {x['detail']}" for x in ledgers if x["state"] == "refused"]
    feed_states = feed_status(config, store, feeds or {})
    problems += feed_problems(feed_states) if feeds else []
    last = store.last_batch()
    return {
        "horizon": _horizon(config, store, now_ms, running=pid is not None),
        "gateway": config.gateway_id,
        "running": pid,
        **store.totals(),
        "unsealed": store.waiting(),
        "recording": "stopped" if stopped else "on" if pid is not None else "off",
        "records_every": health["every_poll"] if health else 1,
        "sealing": held,
        "restored": _restored(store),
        "repairs": _repairs(store),
        "conflicts": conflicts,
        "web": _web(config),
        "last_batch": {"batch": last.batch, "size": last.size, "sealed": last.sealed_ms} if last else None,
        "meters": meters,
        "closing": list((health or {}).get("closing", ())),
        "ledgers": ledgers,
        "feeds": feed_states,
        "alarms": alarms,
        "shelved": [row.as_json() for row in store.alarms() if row.shelved],
        "healthy": not problems,
        "problems": problems,
    }


def _horizon(config: Config, store: Store, now_ms: int, *, running: bool) -> dict[str, Any] | None:
    """How long there is room for; None where the disk does not tell, which other problems say."""
    try:
        return horizon(config, store, now_ms, running=running).as_json()
    except StoreError:
        return None


def active_alarms(store: Store, health: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The alarms that are true and not shelved, as plain data (``Standing.as_json``): as the running gateway says, or
    as it has written down, which it cannot on a full disk."""
    if health and "alarms" in health:
        return list(health["alarms"])
    return [row.as_json() for row in store.alarms() if row.active and not row.shelved]


def _meter(store: Store, name: str, every_ms: int, now_ms: int) -> dict[str, Any]:
    rows = store.readings(name, 1)
    values = shown(rows)
    covered = store.newest(name, "coverage")
    body = _body(covered) if covered else None
    return {
        "name": name,
        "every_ms": every_ms,
        "last": rows[0].time_ms if rows else None,
        "age_s": (now_ms - rows[0].time_ms) // 1000 if rows else None,
        "values": len(values),
        "verdict": worst(v.value.quality for v in values),
        "missed": dict(body.missed) if isinstance(body, Coverage) else {},
        "not_asked": [v.value.name for v in values if v.value.quality & Quality.NOT_ASKED],
        "record": rows[0].id if rows else None,
    }


def _web(config: Config) -> dict[str, Any] | None:
    """Where the pages are, and the fingerprint of their certificate; None without pages."""
    web = config.document.web
    if web is None:
        return None
    facts: dict[str, Any] = {"address": web.url, "fingerprint": None}
    with suppress(ConfigError, AccessError):  # `meterseal check` says what is wrong with it
        if (cert := web.access(config.path.parent).cert) is not None:
            facts["fingerprint"] = fingerprint(cert)
    return facts


def _restored(store: Store) -> dict[str, Any] | None:
    """From which batch of a ledger this database went on, and what it holds that enters no batch of its own."""
    known = store.known()
    if known is None:
        return None
    sealed, untold = store.count_elsewhere()
    text = f"since {rfc3339_ms(known.found_ms)} this database goes on from batch {known.batch} of ledger {known.ledger}"
    if sealed:
        text += f"; {sealed} of its records are sealed in batches that only the ledger holds"
    if untold:
        text += f"; {untold} of its records stay unsealed for ever, since no ledger can tell if they are sealed already"
    facts = {"batch": known.batch, "ledger": known.ledger, "since": known.found_ms, "reason": known.reason}
    return facts | {"sealed_elsewhere": sealed, "unsealed_for_ever": untold, "text": text}


def _repairs(store: Store) -> list[str]:
    """What became of damaged databases."""
    texts = [repair_report.text(repair) for repair in store.repairs()]
    _, untold = store.count_elsewhere() if texts else (0, 0)
    if untold and store.known() is None:
        texts.append(f"{untold} records of lost batches stay unsealed for ever: no ledger can tell if it has them")
    return texts


def _ledger(store: Store, name: str, policy: str) -> dict[str, Any]:
    states, stuck = store.anchor_states(name), store.first_refused(name)
    settled = states.pop("settled", 0)
    waiting = sum(states.values())
    return {
        "name": name,
        "policy": policy,
        "settled": settled,
        "waiting": waiting,
        "states": states,
        "state": "refused" if stuck else "waiting" if waiting else "settled",
        "detail": stuck.detail if stuck else None,
    }


def print_status(out: Console, facts: dict[str, Any]) -> None:
    """The status for people."""
    state = f"running (pid {facts['running']})" if facts["running"] else "not running"
    out.print(Text(facts["gateway"], "bold"), f" {state}")
    table = Table("meter", "last reading", "values", "quality", "missed since", box=None)
    for m in facts["meters"]:
        age = "never" if m["age_s"] is None else f"{m['age_s']} s ago"
        missed = ", ".join(f"{n} {reason}" for reason, n in m["missed"].items()) or "none"
        if m["not_asked"]:
            missed += f"; not asked: {', '.join(m['not_asked'])}"
        table.add_row(m["name"], age, str(m["values"]), m["verdict"], missed)
    out.print(table)
    for x in facts["closing"]:
        out.print(x["text"])
    out.print(
        f"{facts['records']} records ({facts['readings']} readings), {facts['batches']} batches, "
        f"{facts['unsealed']} records in none yet"
    )
    if facts["horizon"]:
        out.print(f"room: {facts['horizon']['text']}")
    for x in facts["ledgers"]:
        out.print(f"ledger {x['name']} ({x['policy']}): {x['settled']} batches anchored, {x['waiting']} waiting")
    for feed in facts["feeds"]:
        out.print(feed_line(feed))
    if web := facts["web"]:
        known = f", certificate SHA-256 {web['fingerprint']}" if web["fingerprint"] else ""
        out.print(f"pages: {web['address']}{known}")
    for text in facts["repairs"]:
        if text not in facts["problems"]:
            out.print(text)
    if facts["restored"]:
        out.print(facts["restored"]["text"])
    if facts["sealing"] and not facts["conflicts"] and facts["sealing"] not in facts["problems"]:
        out.print(facts["sealing"])
    for x in facts["shelved"]:
        text = f"shelved by {x['shelved_by']} until {rfc3339_ms(x['shelved_until'])}: {x['text']}"
        out.print(text)
    for problem in facts["problems"]:
        out.print(Text("look at this:", "bold"), problem)


def print_readings(out: Console, values: Sequence[Shown], profiles: Mapping[str, Profile] | None = None) -> None:
    """Readings for people: a headline with the record's id, then its values. ``profiles`` by meter: they name what a
    status says."""
    for record, group in groupby(values, key=lambda v: v.record):
        mine = list(group)
        out.print(Text(f"{rfc3339_ms(mine[0].time_ms)}  {mine[0].meter}", "bold"), f" record {record}")
        points, common = points_of((profiles or {}).get(mine[0].meter)), shared_flags([v.value for v in mine])
        table = Table.grid(padding=(0, 2), pad_edge=True)
        table.add_column()
        table.add_column(justify="right")
        for v in mine:
            table.add_row(v.value.name, v.named(points), v.value.unit or "", v.beside(common))
        out.print(table)
        print_common(out, common)


def points_of(profile: Profile | None) -> dict[str, Point]:
    """The points of a profile by name."""
    return {point.name: point for point in profile.points} if profile else {}


def print_common(out: Console, common: int) -> None:
    """What is true of all values of a reading, once."""
    if common:
        out.print(f"all values are {verdict(common)}: {', '.join(quality_phrases(common))}")


def feed_status(config: Config, store: Store, told: Mapping[str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """Each configured feed; ``told`` is what the running gateway says of each by name."""
    nothing = {"connected": False, "state": "unknown: the gateway does not say", "waiting": 0, "live": 0, "history": 0}
    return [
        {"name": entry.name, "type": entry.type, "url": entry.url}
        | nothing
        | dict(told.get(entry.name) or {})
        | {"left": store.feed_owes(entry.name)}
        for entry in config.document.feed
    ]


def feed_problems(feeds: Sequence[Mapping[str, Any]]) -> list[str]:
    """What needs a look: a running gateway's feeds that tell nobody."""
    return [f"feed {f['name']}: {f['state']}" for f in feeds if not f["connected"]]


def feed_line(facts: Mapping[str, Any]) -> str:
    """One feed in one line."""
    text = f"feed {facts['name']} ({facts['type']}): {facts['state']}, {facts['live']} readings told live"
    if facts["waiting"]:
        text += f", {facts['waiting']} waiting"
    return text + (f", {facts['left']} to be told as history" if facts["left"] else "")
