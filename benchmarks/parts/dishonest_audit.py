"""Histories that a ledger takes and in which each record by itself verifies: only an audit of the whole can tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.parts.dishonest_stage import ACCOMPLICE, LEDGERS, Case, Said, Stage
from benchmarks.parts.forged_history import Batch, Changed, History, Unsigned
from ledger_client.cose_key import EDDSA, PrivateKey
from ledger_client.record import GATEWAY_ITSELF, Coverage, Event, Reading, Value
from ledger_client.trust import key_entry

EVERY_MS = 10_000
DAY_MS = 86_400_000
Edit = Callable[[History, Stage], None]


def edited(edit: Edit, *, ledger: str = LEDGERS[0]) -> Callable[[Stage], list[Said]]:
    """The honest history with one thing changed, given to a ledger and to an audit."""

    def story(stage: Stage) -> list[Said]:
        history = stage.history()
        edit(history, stage)
        return stage.tell(history, ledgers=(ledger,))

    return story


def _meter(history: History, stage: Stage) -> str:
    return stage.chance.choice(history.meters)


def _early(stage: Stage) -> int:
    """A batch of the first epoch with another one of it on either side."""
    return stage.chance.choice((1, 2))


def _reading(history: History, stage: Stage, batch: int, meter: str) -> tuple[int, int]:
    """One of the meter's readings in that batch, not its first or last."""
    return stage.chance.choice([place for place in history.places(Reading, meter) if place[0] == batch][1:-1])


# — coverage —


def _without_coverage(history: History, stage: Stage) -> None:
    """A batch has none; the next one counts what it leaves out."""
    batch = _early(stage)
    for meter in history.meters:
        _swallow(history, meter, next(p for p in history.places(Coverage, meter) if p[0] == batch))
    history.number()


def _swallow(history: History, meter: str, place: tuple[int, int]) -> None:
    """A coverage record is left out, and the one behind it speaks for both."""
    places = history.places(Coverage, meter)
    left, behind = history.at(*place).body, places[places.index(place) + 1]
    next_ = history.at(*behind).body
    assert isinstance(left, Coverage)
    assert isinstance(next_, Coverage)
    missed = {key: left.missed.get(key, 0) + next_.missed.get(key, 0) for key in {*left.missed, *next_.missed}}
    due, recorded = left.due + next_.due, left.recorded + next_.recorded
    history.put(behind, history.at(*behind).saying(from_ms=left.from_ms, due=due, recorded=recorded, missed=missed))
    del history.batches[place[0]].records[place[1]]


def _vanished(history: History, stage: Stage) -> None:
    meter, batch = _meter(history, stage), _early(stage)
    for later in history.batches[batch + 1 :]:
        later.records = [record for record in later.records if record.meter != meter]


def _first_is_no_coverage(history: History, stage: Stage) -> None:
    """The downtime before a start is told by the first cut only."""
    meter = _meter(history, stage)
    second = next(r.claims.epoch for r in reversed(history.batches[-1].records))
    place = next(p for p in history.places(Coverage, meter) if history.at(*p).claims.epoch == second)
    _swallow(history, meter, place)
    history.number()


def _ends_early(history: History, stage: Stage) -> None:
    """From some batch on a meter's coverage stands still: nothing is due any more."""
    meter, batch = _meter(history, stage), _early(stage)
    last = next(b for p in history.places(Coverage, meter) if p[0] == batch and (b := history.at(*p).body))
    assert isinstance(last, Coverage)
    for later in history.batches[batch + 1 :]:
        later.records = [r for r in later.records if not (r.meter == meter and isinstance(r.body, Reading))]
        for index, record in enumerate(later.records):
            if record.meter == meter and isinstance(record.body, Coverage):
                later.records[index] = record.saying(from_ms=last.to_ms, to_ms=last.to_ms, due=0, recorded=0, missed={})
    history.number()


def _back_dated(history: History, stage: Stage) -> None:
    """A reading of the first batch is a day older than its coverage."""
    place = _reading(history, stage, 0, _meter(history, stage))
    record = history.at(*place)
    history.put(place, record.saying(time_ms=record.time_ms - DAY_MS))


def _behind_its_coverage(history: History, stage: Stage) -> None:
    """A reading is of after the signature of the coverage record that counts it."""
    meter, batch = _meter(history, stage), _early(stage)
    place = [p for p in history.places(Reading, meter) if p[0] == batch][-1]
    counts = next(p for p in history.places(Coverage, meter) if p[0] == batch)
    time_ms = (history.at(*counts).claims.iat + 1) * 1000 + 3000
    history.put(place, history.at(*place).saying(time_ms=time_ms))


# — times —


def _bt_falls(history: History, stage: Stage) -> None:
    meter, batch = _meter(history, stage), _early(stage)
    place = _reading(history, stage, batch, meter)
    places = history.places(Reading, meter)
    before = history.at(*places[places.index(place) - 1])
    history.put(place, history.at(*place).saying(time_ms=before.time_ms - 500))


def _up_falls(history: History, stage: Stage) -> None:
    place = _reading(history, stage, _early(stage), _meter(history, stage))
    history.put(place, history.at(*place).at(up_ms=history.at(*place).claims.up_ms - 11_000))


def _step_untold(history: History, stage: Stage) -> None:
    """What was before some batch of an epoch was an hour earlier, and no event says that the clock was set."""
    batch, hour_ms, hidden = _early(stage), 3_600_000, 3_600_000 // EVERY_MS
    for number, told in enumerate(history.batches):
        for index, record in enumerate(told.records):
            body = record.body
            if number < batch:
                told.records[index] = _moved(record, -hour_ms)
            elif number == batch and isinstance(body, Coverage):
                told.records[index] = record.saying(
                    from_ms=body.from_ms - hour_ms, due=body.due + hidden, missed={"timeout": hidden}
                )


def _moved(record: Unsigned, by_ms: int) -> Unsigned:
    """Some time earlier or later, with all that it says of grids."""
    record, body = record.at(iat=record.claims.iat + by_ms // 1000), record.body
    if isinstance(body, Reading):
        return record.saying(time_ms=body.time_ms + by_ms)
    if isinstance(body, Coverage):
        return record.saying(from_ms=body.from_ms + by_ms, to_ms=body.to_ms + by_ms)
    if "meters" not in body.fields:
        return record
    meters = {
        name: {**meter, "grids": [[begins + by_ms, period] for begins, period in meter["grids"]]}
        for name, meter in body.fields["meters"].items()
    }
    return record.saying(meters=meters)


def _signed_before(history: History, stage: Stage) -> None:
    """A reading was signed before it was read."""
    place = _reading(history, stage, _early(stage), _meter(history, stage))
    record = history.at(*place)
    history.put(place, record.at(iat=record.claims.iat - 5, up_ms=record.claims.up_ms - 5000))


def _signed_long_after(history: History, stage: Stage) -> None:
    """All readings of a batch are of its first second."""
    meter, batch = _meter(history, stage), _early(stage)
    counts = next(p for p in history.places(Coverage, meter) if p[0] == batch)
    body = history.at(*counts).body
    assert isinstance(body, Coverage)
    for number, place in enumerate(p for p in history.places(Reading, meter) if p[0] == batch):
        history.put(place, history.at(*place).saying(time_ms=body.from_ms + number))


def _signed_after_its_receipt(history: History, stage: Stage) -> None:
    place = _reading(history, stage, 5, _meter(history, stage))
    history.put(place, history.at(*place).at(iat=int(stage.now_s) + 600))


def _statement_from(history: History, stage: Stage) -> None:
    history.batches[0].changes["from_ms"] = history.from_ms - 3_600_000


def _statement_to(history: History, stage: Stage) -> None:
    batch = history.batches[_early(stage)]
    batch.changes["to_ms"] = batch.to_ms + 60_000


# — what was due —


def _every_second(history: History, stage: Stage) -> None:
    """Every second reading of a meter is left out from some batch on, and half as many polls were due."""
    meter, batch = _meter(history, stage), _early(stage)
    _thin(history, meter, batch)
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _thin(history: History, meter: str, batch: int) -> None:
    for place in reversed([p for p in history.places(Reading, meter) if p[0] > batch][::2]):
        del history.batches[place[0]].records[place[1]]
    history.number()


def _due_is_less(history: History, stage: Stage) -> None:
    """Of one coverage record only: three readings are left out, and three polls were not due."""
    meter, batch = _meter(history, stage), _early(stage)
    for place in reversed([p for p in history.places(Reading, meter) if p[0] == batch][1:4]):
        del history.batches[place[0]].records[place[1]]
    history.number()
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _announced(history: History, batch: int, name: str, **facts: object) -> None:
    """An event of the gateway as the first record of a batch."""
    records = history.batches[batch].records
    last = next(r for b in reversed(history.batches[:batch]) for r in reversed(b.records) if r.meter == GATEWAY_ITSELF)
    claims = records[0].claims._replace(meter=GATEWAY_ITSELF, seq=last.claims.seq + 1)
    records.insert(0, Unsigned(claims, Event(name, facts)))
    history.number(GATEWAY_ITSELF)


def _nothing_due(history: History, stage: Stage) -> None:
    """A grid ends, and the next one begins a minute later, with nothing due between them."""
    meter, batch = _meter(history, stage), _early(stage)
    ends_ms = _covered_to(history, meter, batch - 1)
    begins_ms = ends_ms - 1 + 7 * EVERY_MS
    _announced(history, batch, "schedule", grids={meter: [[ends_ms, 0], [begins_ms, EVERY_MS]]})
    for place in reversed([p for p in history.places(Reading, meter) if p[0] == batch][:6]):
        del history.batches[place[0]].records[place[1]]
    history.number()
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _coarser_grid(history: History, stage: Stage) -> None:
    """A schedule of twice the period is announced, and no thinning."""
    meter, batch = _meter(history, stage), _early(stage)
    ends_ms = _covered_to(history, meter, batch)
    grids = {meter: [[ends_ms, 0], [ends_ms - 1 + 2 * EVERY_MS, 2 * EVERY_MS]]}
    _thin(history, meter, batch)
    _announced(history, batch + 1, "schedule", grids=grids)
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _covered_to(history: History, meter: str, batch: int) -> int:
    body = [history.at(*p).body for p in history.places(Coverage, meter) if p[0] == batch][-1]
    assert isinstance(body, Coverage)
    return body.to_ms


def _other_period(history: History, stage: Stage) -> None:
    """The second epoch's configuration says twice the period, and its grid is still the old one's; half is told."""
    meter, event = _meter(history, stage), history.events("configuration")[-1]
    meters = dict(history.at(*event).body.fields["meters"])  # type: ignore[union-attr]
    meters[meter] = {**meters[meter], "period": 2 * EVERY_MS}
    history.put(event, history.at(*event).saying(meters=meters))
    _thin(history, meter, event[0] - 1)
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _without_configuration(history: History, stage: Stage) -> None:
    history.each(lambda r: None if isinstance(r.body, Event) and r.body.name == "configuration" else r)


def _part_of_it(history: History, stage: Stage) -> None:
    event = history.events("configuration")[0]
    history.put(event, history.at(*event).saying(part=[1, 2]))


def _other_config(history: History, stage: Stage) -> None:
    history.batches[_early(stage)].config = stage.chance.randbytes(32)


def _renamed_device(history: History, stage: Stage) -> None:
    """From some batch on a meter's records are another meter's, which no configuration knows."""
    meter, batch = _meter(history, stage), _early(stage)
    history.keys["spare"] = PrivateKey.generate(EDDSA)

    def renamed(record: Unsigned) -> Changed:
        return record.at(meter="spare") if record.meter == meter else record

    for later in history.batches[batch + 1 :]:
        later.records = [new for record in later.records if (new := renamed(record))]
    history.number()


# — numbers, at a ledger that takes anything —


def _twins(history: History, stage: Stage) -> None:
    """A batch tells the numbers of the one before again, with other values."""
    batch = _early(stage)
    told, again = history.batches[batch].records, history.batches[batch + 1]
    again.records = [other_value(record) for record in told]


def other_value(record: Unsigned) -> Unsigned:
    """A reading with a better value."""
    return record.saying(values=(Value("count", 9_999, "count"),)) if isinstance(record.body, Reading) else record


def _numbers_left_out(history: History, stage: Stage) -> None:
    """Three readings that were anchored nowhere are left out, with their numbers; coverage says timeouts."""
    meter, batch = _meter(history, stage), _early(stage)
    for place in reversed([p for p in history.places(Reading, meter) if p[0] == batch][:3]):
        del history.batches[place[0]].records[place[1]]
    history.recount(lambda body, _: body.due)


# — keys —


def _quiet_key(stage: Stage) -> list[Said]:
    """A meter signs with another key from some batch on, which the trust file names, and no event."""
    history = stage.history()
    meter, batch, key = _meter(history, stage), _early(stage), PrivateKey.generate(EDDSA)
    for later in history.batches[batch + 1 :]:
        later.records = [r._replace(signer=key) if r.meter == meter else r for r in later.records]
    return stage.tell(history, more=key_entry("meter", key.public, 0, gateway=history.gateway, meter=meter))


def _event_by_revoked_key(stage: Stage) -> list[Said]:
    """An event is signed with the statement key of before, which was stolen and has been revoked."""
    history, stolen = stage.history(), PrivateKey.generate(EDDSA)
    place = history.events("start")[-1]
    history.put(place, history.at(*place)._replace(signer=stolen))
    entry = key_entry("statement", stolen.public, 0, gateway=history.gateway)
    return stage.tell(history, more=entry + "revoked = 2026-01-01T00:00:00Z\n")


# — files —


def _copied(*, first: bool) -> Callable[[Stage], list[Said]]:
    """A second file of a batch, with one record changed, is given before or behind the true one."""

    def story(stage: Stage) -> list[Said]:
        history = stage.history()
        sealed = history.sealed()
        files = [stage.file(b, [r]) for b, r in zip(sealed, stage.submit(sealed), strict=True)]
        batch = _early(stage)
        copy = stage.folder / "copy.mbatch"
        (_, index) = _reading(history, stage, batch, _meter(history, stage))
        record = sealed[batch].records[index]
        changed = record[:-70] + bytes((record[-70] ^ 1,)) + record[-69:]
        copy.write_bytes(files[batch].read_bytes().replace(record, changed))
        order = [copy, *files] if first else [*files, copy]
        return stage.audit(order, stage.trust(history))

    return story


def _some(pick: Callable[[list[Path]], list[Path]], *, online: bool = False) -> Callable[[Stage], list[Said]]:
    """Only some of the files of a period are handed over."""

    def story(stage: Stage) -> list[Said]:
        history = stage.history()
        sealed = history.sealed()
        files = [stage.file(b, [r]) for b, r in zip(sealed, stage.submit(sealed), strict=True)]
        period = ["--gateway", history.gateway, "--from", _moment(history.from_ms), "--to", _moment(history.to_ms)]
        url = stage.ledgers[LEDGERS[0]].url
        options = ["--online", "--ledger", f"{LEDGERS[0]}={url}"] if online else period
        return stage.audit(pick(files), stage.trust(history), *options)

    return story


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _without_its_configuration(stage: Stage) -> list[Said]:
    """The files of one epoch without its first batch."""
    history = stage.history()
    sealed = history.sealed()
    files = [stage.file(b, [r]) for b, r in zip(sealed, stage.submit(sealed), strict=True)]
    return stage.audit(files[1:4], stage.trust(history))


# — losses, and what is late —


def told_again(history: History) -> None:
    """A database is put back to where batch 1 ended, and the time since is told a second time with better values."""
    begins, (*_, again) = history.batches[2].records[0].claims, history.batches[:4]
    told = [record for batch in history.batches[2:4] for record in batch.records]
    at_ms = {meter: _covered_to(history, meter, 1) for meter in history.meters}
    records = [
        *(Unsigned(begins._replace(meter=meter), Coverage(ms, ms, 0, 0, {})) for meter, ms in at_ms.items()),
        *(r.at(iat=begins.iat, up_ms=begins.up_ms) for r in history.batches[0].records if r.meter == GATEWAY_ITSELF),
        *map(other_value, told),
    ]
    epoch = bytes(reversed(begins.epoch))
    records = [r.at(epoch=epoch, seq=0, up_ms=r.claims.up_ms - begins.up_ms) for r in records]
    put_back = Batch(records, again.iat, again.config, again.software, "the database was put back", behind=1)
    history.batches = [*history.batches[:4], put_back]
    history.number()


def _told_again(stage: Stage) -> list[Said]:
    history = stage.history()
    told_again(history)
    return stage.tell(history)


def _lost_by_event(history: History, stage: Stage) -> None:
    """Three readings are said to have been lost with a damaged database."""
    meter, batch = _meter(history, stage), _early(stage)
    places = [p for p in history.places(Reading, meter) if p[0] == batch][:3]
    numbers = [history.at(*place).claims.seq for place in places]
    lost = [[meter, history.at(*places[0]).claims.epoch, numbers[0], numbers[-1]]]
    for place in reversed(places):
        del history.batches[place[0]].records[place[1]]
    _announced(history, batch, "repaired", ranges=lost, lost=3)
    history.batches[batch].resume = "the database was damaged"
    history.recount(lambda body, _: body.due)


CASES = {
    "no-coverage": Case("audit", "coverage", "no coverage", edited(_without_coverage)),
    "vanished-meter": Case("audit", "coverage", "no coverage", edited(_vanished)),
    "start-without-coverage": Case("audit", "coverage", "first", edited(_first_is_no_coverage)),
    "coverage-stands-still": Case("audit", "coverage", "ends", edited(_ends_early)),
    "back-dated": Case("audit", "coverage", "before", edited(_back_dated)),
    "reading-behind-its-coverage": Case("audit", "coverage", "after", edited(_behind_its_coverage)),
    "bt-falls": Case("audit", "times", "LATE", edited(_bt_falls)),
    "up-falls": Case("audit", "times", "up", edited(_up_falls)),
    "clock-set-untold": Case("audit", "times", "clock", edited(_step_untold)),
    "signed-before-it-was-read": Case("audit", "times", "signed", edited(_signed_before)),
    "signed-long-after": Case("audit", "times", "signed", edited(_signed_long_after)),
    "signed-after-its-receipt": Case("audit", "validity", "signed", edited(_signed_after_its_receipt)),
    "statement-from-wrong": Case("audit", "statement", "from", edited(_statement_from)),
    "statement-to-wrong": Case("audit", "statement", "to", edited(_statement_to)),
    "halved-due": Case("audit", "due", r"\d", edited(_every_second)),
    "three-polls-not-due": Case("audit", "due", r"\d", edited(_due_is_less)),
    "nothing-due-for-a-minute": Case("audit", "due", "nothing", edited(_nothing_due)),
    "thinning-untold": Case("audit", "due", "thin|factor|period", edited(_coarser_grid)),
    "period-changed-silently": Case("audit", "due", "period", edited(_other_period)),
    "no-configuration": Case("audit", "due", "configuration", edited(_without_configuration)),
    "part-of-a-configuration": Case("audit", "due", "part", edited(_part_of_it)),
    "other-config-than-the-events": Case("audit", "due", "config", edited(_other_config)),
    "meter-that-no-configuration-knows": Case("audit", "due", "configuration", edited(_renamed_device)),
    "twin-ids-at-an-accomplice": Case("audit", "chain", "number", edited(_twins, ledger=ACCOMPLICE)),
    "numbers-left-out-at-an-accomplice": Case("audit", "chain", "number", edited(_numbers_left_out, ledger=ACCOMPLICE)),
    "quiet-key": Case("audit", "keys", "key", _quiet_key),
    "revoked-keys-event": Case("audit", "validity", "revoked", _event_by_revoked_key),
    "copied-file-given-first": Case("audit", "record", "signature", _copied(first=True)),
    "copied-file-given-last": Case("audit", "record", "signature", _copied(first=False)),
    "tail-cut-off": Case("audit", "chain|coverage|ends", "end", _some(lambda files: files[:-3])),
    "head-cut-off": Case("audit", "chain|coverage|ends", "begin", _some(lambda files: files[2:])),
    "middle-cut": Case("audit", "chain", "missing", _some(lambda files: files[:2] + files[3:])),
    "tail-cut-off-online": Case("audit", "chain|ends", "last", _some(lambda files: files[:-1], online=True)),
    "due-before-any-configuration": Case("audit", "due", "earlier", _without_its_configuration),
    "told-again": Case("audit", "resume", "twice", _told_again),
    "lost-by-an-event": Case("audit", "resume", "lost", edited(_lost_by_event)),
}
