"""Histories whose configuration is changed for a while, or called another one than it is: for an audit to name.

Nothing of it is a fault by itself, so an audit finds nothing: it lists each change with its time, and notes series,
devices at two meters, and commissioning records unlike the configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger_client.formats.record import COMMISSIONED, Coverage, Event
from ledger_client.formats.senml import Reading
from ledger_client.recording_grid import Grid
from ledger_client.recording_series import series_count
from tests.campaigns.dishonest.dishonest_edits import Edit, announced, any_meter, early, edited
from tests.campaigns.dishonest.dishonest_stage import Case, Stage
from tests.campaigns.dishonest.forged_history import History, Unsigned

HASH = bytes(range(32))
OTHER_PROFILE = {"profile": "another", "profile-hash": HASH}
KNOWN, ANOTHER = "serial_number=4711", "serial_number=4712"


def _fields(history: History, place: tuple[int, int]) -> Any:
    body = history.at(*place).body
    assert isinstance(body, Event)
    return dict(body.fields)


def _say(history: History, meter: str, **facts: Any) -> None:
    """Every configuration says this of a meter."""
    for place in history.events("configuration"):
        meters = _fields(history, place)["meters"]
        history.put(place, history.at(*place).saying(meters={**meters, meter: {**meters[meter], **facts}}))


def _announce(history: History, batch: int, meter: str, **facts: Any) -> None:
    """A configuration that says so of a meter, as the first record of a batch."""
    fields = _fields(history, history.events("configuration")[0]) | {"at": "change"}
    meters = {**fields["meters"], meter: {**fields["meters"][meter], **facts}}
    announced(history, batch, "configuration", **(fields | {"meters": meters}))


def _for_a_while(**facts: Any) -> Edit:
    """A meter has other facts for one batch, and the old ones again behind it."""

    def edit(history: History, stage: Stage) -> None:
        meter, batch = any_meter(history, stage), early(stage)
        _announce(history, batch + 1, meter)
        _announce(history, batch, meter, **facts)

    return edit


def _another_device(history: History, stage: Stage) -> None:
    """Another device stands for a meter from some batch on, and no event says that it was exchanged."""
    meter, batch = any_meter(history, stage), early(stage)
    _say(history, meter, identity=KNOWN)
    second = history.events("configuration")[-1]
    meters = _fields(history, second)["meters"]
    other = {**meters[meter], "identity": ANOTHER}
    history.put(second, history.at(*second).saying(meters={**meters, meter: other}))
    _announce(history, batch, meter, identity=ANOTHER)


def _two_names(history: History, stage: Stage) -> None:
    """What one device measures is recorded as two meters."""
    for meter in stage.chance.sample(history.meters, 2):
        _say(history, meter, identity=KNOWN)


def _unlike_its_record(history: History, stage: Stage) -> None:
    """The meter was put into service with a transformer that its configuration does not know."""
    meter, batch = any_meter(history, stage), early(stage)
    configured = _fields(history, history.events("configuration")[0])["meters"][meter]
    facts = {key: configured[key] for key in ("role", "profile", "profile-hash")}
    facts |= {"reversed": False, "ratios": {"ct": "1200/5"}, "settings": {}, "by": "somebody", "at": 1}
    place = next(p for p in history.places(Reading, meter) if p[0] == batch)
    history.batches[batch].records.insert(place[1], Unsigned(history.at(*place).claims, Event(COMMISSIONED, facts)))
    history.number(meter)


def _as_series(period_ms: int, keeps: Callable[[int], bool]) -> Edit:
    """A polled meter is called a series: what is kept of its polls is all that was due."""

    def edit(history: History, stage: Stage) -> None:
        meter = any_meter(history, stage)
        for place in reversed(history.places(Reading, meter)):
            if not keeps(history.at(*place).time_ms):
                del history.batches[place[0]].records[place[1]]
        begins: dict[bytes, int] = {}
        for place in history.events("configuration"):
            begins_ms = _fields(history, place)["meters"][meter]["grids"][-1][0]
            begins[history.at(*place).claims.epoch] = begins_ms
        for place in history.events("configuration"):
            grids = [[begins[history.at(*place).claims.epoch], period_ms]]
            meters = _fields(history, place)["meters"]
            facts = {**meters[meter], "series": True, "period": period_ms, "grids": grids}
            history.put(place, history.at(*place).saying(meters={**meters, meter: facts}))
        history.number(meter)
        _cover(history, meter, [(at_ms, period_ms) for at_ms in begins.values()], begins)

    return edit


def _cover(history: History, meter: str, grids: list[Grid], begins: dict[bytes, int]) -> None:
    """Coverage as that of a series: it ends behind the last message, or where an epoch begins."""
    from_ms, times_ms = min(begins.values()), list[int]()
    for batch in history.batches:
        for index, record in enumerate(batch.records):
            if record.meter != meter or isinstance(record.body, Event):
                continue
            if isinstance(record.body, Reading):
                times_ms.append(record.time_ms)
                continue
            count = series_count(grids, from_ms, times_ms)
            to_ms = begins[record.claims.epoch] if record.claims.seq == 0 else max(from_ms, count.last_ms + 1)
            count.ends(to_ms)
            missed = {"timeout": count.missed} if count.missed else {}
            body = Coverage(from_ms, to_ms, len(times_ms) + count.missed, len(times_ms), missed)
            batch.records[index] = Unsigned(record.claims, body)
            from_ms, times_ms = to_ms, []


A_MINUTE_MS, A_DAY_MS = 60_000, 86_400_000


def _changed(field: str, value: str) -> str:
    return rf", {field}: .* until .*Z, {value} until .*Z, then "


CASES = {
    "ratios-for-a-while": Case(
        "audit", "changed", _changed("ratios", "ct 400/5"), edited(_for_a_while(ratios={"ct": "400/5"}))
    ),
    "reversed-for-a-while": Case("audit", "changed", _changed("reversed", "yes"), edited(_for_a_while(reversed=True))),
    "profile-for-a-while": Case(
        "audit", "changed", _changed("profile-hash", f"{HASH.hex()[:16]}…"), edited(_for_a_while(**OTHER_PROFILE))
    ),
    "role-for-a-while": Case(
        "audit", "changed", _changed("role", "consumption"), edited(_for_a_while(role="consumption"))
    ),
    "identity-without-exchange": Case(
        "audit", "changed", f"{KNOWN} until .*Z, then {ANOTHER} without a meter-exchange", edited(_another_device)
    ),
    "polled-called-series": Case(
        "audit",
        "note",
        r"is a series, not polled: one message is due each 60 s; one came every 60 s \(median\)",
        edited(_as_series(A_MINUTE_MS, lambda time_ms: time_ms // 10_000 % 6 == 0)),
    ),
    "series-of-a-day": Case(
        "audit",
        "note",
        r"is a series, not polled: one message is due each 86400 s; one came every 10 s \(median\)",
        edited(_as_series(A_DAY_MS, lambda time_ms: time_ms // 10_000 % 12 < 7)),
    ),
    "commissioning-differs": Case(
        "audit", "note", "ratios ct 1200/5 by its commissioning record .*, .* as configured", edited(_unlike_its_record)
    ),
    "one-device-two-names": Case("audit", "note", f"is {KNOWN}, and meter .* is or was, too", edited(_two_names)),
}
