"""Schedules that are announced in full and still hide polls: for an audit to find, or at least to name."""

from __future__ import annotations

from typing import Any

from ledger_client.formats.record import Coverage, Event
from ledger_client.formats.senml import Reading
from ledger_client.recording_grid import due_by
from tests.campaigns.dishonest.dishonest_edits import EVERY_MS, announced, any_meter, covered_to, early, edited
from tests.campaigns.dishonest.dishonest_stage import AGO_S, Case, Objection, Stage
from tests.campaigns.dishonest.forged_history import History, Unsigned
from tests.campaigns.honest.honest_history import SLOWED_S, slowed


def _only_what_is_there(history: History) -> None:
    """What is not recorded was not due."""
    history.number()
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _without(history: History, meter: str, batch: int, first: int, count: int) -> None:
    """Some readings of a meter in a batch are left out, and were not due."""
    places = [p for p in history.places(Reading, meter) if p[0] == batch][first : first + count]
    for place in reversed(places):
        del history.batches[place[0]].records[place[1]]
    _only_what_is_there(history)


def _two_ends(history: History, stage: Stage) -> None:
    """A grid ends twice, and the next one begins right behind the second end."""
    meter, batch = any_meter(history, stage), early(stage)
    ends_ms = covered_to(history, meter, batch - 1)
    grids = [[ends_ms, 0], [ends_ms + 61_000, 0], [ends_ms - 1 + 7 * EVERY_MS, EVERY_MS]]
    announced(history, batch, "schedule", grids={meter: grids})
    _without(history, meter, batch, 0, 6)


def _skips_one(history: History, stage: Stage) -> None:
    """A grid ends right before a poll, and the next one begins a period later: that poll was never due."""
    meter, batch = any_meter(history, stage), early(stage)
    due_ms = covered_to(history, meter, batch - 1) - 1 + EVERY_MS
    announced(history, batch, "schedule", grids={meter: [[due_ms - 1, 0], [due_ms - 1 + EVERY_MS, EVERY_MS]]})
    _without(history, meter, batch, 0, 1)


def _skips_at_the_start(history: History, stage: Stage) -> None:
    """The configuration at a start has a pause of a minute in its grids."""
    meter, event = any_meter(history, stage), history.events("configuration")[-1]
    meters = dict(_fields(history, event)["meters"])
    (begins_ms, _) = meters[meter]["grids"][-1]
    meters[meter] = {**meters[meter], "grids": [[begins_ms, 0], [begins_ms + 6 * EVERY_MS, EVERY_MS]]}
    history.put(event, history.at(*event).saying(meters=meters))
    _without(history, meter, event[0], 0, 6)


def _begins_later(history: History, stage: Stage) -> None:
    """The configuration at a start has a grid that begins a minute later."""
    meter, event = any_meter(history, stage), history.events("configuration")[-1]
    meters = dict(_fields(history, event)["meters"])
    (begins_ms, _) = meters[meter]["grids"][-1]
    meters[meter] = {**meters[meter], "grids": [[begins_ms + 6 * EVERY_MS, EVERY_MS]]}
    history.put(event, history.at(*event).saying(meters=meters))
    _without(history, meter, event[0], 0, 6)


def _fields(history: History, place: tuple[int, int]) -> Any:
    body = history.at(*place).body
    assert isinstance(body, Event)
    return dict(body.fields)


def _out_for_a_while(history: History, stage: Stage) -> None:
    """A meter is taken out of the configuration for two minutes, and comes back as if nothing had been."""
    meter = any_meter(history, stage)
    out_ms, back_ms = covered_to(history, meter, 0), covered_to(history, meter, 1) - 1 + EVERY_MS
    fields = _fields(history, history.events("configuration")[0]) | {"at": "change"}
    others = {name: facts for name, facts in fields["meters"].items() if name != meter}
    back = {**fields["meters"], meter: {**fields["meters"][meter], "grids": [[back_ms, EVERY_MS]]}}
    last = next(r for r in history.batches[1].records if r.meter == meter)
    history.batches[1].records = [r for r in history.batches[1].records if r.meter != meter]
    first = next(r for r in history.batches[2].records if r.meter == meter)
    begin = Coverage(out_ms, back_ms, 0, 0, {})
    announced(history, 2, "configuration", **(fields | {"meters": back}))
    history.batches[2].records.insert(1, Unsigned(first.claims, begin))
    announced(history, 1, "configuration", **(fields | {"meters": others}))
    announced(history, 1, "schedule", grids={meter: [[out_ms, 0]]})
    history.batches[1].records.insert(0, Unsigned(last.claims, Coverage(out_ms, out_ms, 0, 0, {})))
    places = history.places(Coverage, meter)
    place = next(p for p in places if p[0] == 2 and p[1] > 1)
    history.put(place, history.at(*place).saying(from_ms=back_ms))
    _only_what_is_there(history)


def _period_said(history: History, stage: Stage) -> None:
    """A change of configuration says twice the period; from then on every second poll is due."""
    meter, batch = any_meter(history, stage), early(stage)
    ends_ms = covered_to(history, meter, batch - 1)
    fields = _fields(history, history.events("configuration")[0]) | {"at": "change"}
    grids = [[ends_ms, 0], [ends_ms - 1 + EVERY_MS, 2 * EVERY_MS]]
    meters = {**fields["meters"], meter: {**fields["meters"][meter], "period": 2 * EVERY_MS, "grids": grids}}
    second = history.events("configuration")[-1]
    later = _fields(history, second)["meters"]
    (begins_ms, _) = later[meter]["grids"][-1]
    later = {**later, meter: {**later[meter], "period": 2 * EVERY_MS, "grids": [[begins_ms, 2 * EVERY_MS]]}}
    history.put(second, history.at(*second).saying(meters=later))
    announced(history, batch, "configuration", **(fields | {"meters": meters}))
    for number in range(batch, len(history.batches)):
        for place in reversed([p for p in history.places(Reading, meter) if p[0] == number][1::2]):
            del history.batches[place[0]].records[place[1]]
    _only_what_is_there(history)
    epoch = history.at(*second).claims.epoch
    start = next(p for p in history.places(Coverage, meter) if history.at(*p).claims.epoch == epoch)
    body = history.at(*start).body
    assert isinstance(body, Coverage)
    stopped = due_by([(ends_ms - 1 + EVERY_MS, 2 * EVERY_MS)], body.from_ms, body.to_ms)
    history.put(start, history.at(*start).saying(due=stopped, missed={"stopped": stopped}))


def _thinned_to_nothing(history: History, stage: Stage) -> None:
    """An event says that only every thousandth poll is recorded from here on."""
    batch, second = early(stage), history.events("configuration")[-1]
    epoch, grids = history.at(*second).claims.epoch, {}
    for meter in history.meters:
        ends_ms = covered_to(history, meter, batch - 1)
        grids[meter] = [[ends_ms, 0], [ends_ms - 1 + EVERY_MS, 1000 * EVERY_MS]]
        for number in range(batch, second[0] + 1):
            places = [p for p in history.places(Reading, meter) if p[0] == number]
            there = [p for p in places if history.at(*p).claims.epoch != epoch]
            for place in reversed(there[1:] if number == batch else there):
                del history.batches[number].records[place[1]]
    announced(history, batch, "recording-period", factor=1000, used=1, limit=1, grids=grids)
    _only_what_is_there(history)
    for meter in history.meters:
        place = next(p for p in history.places(Coverage, meter) if history.at(*p).claims.epoch == epoch)
        history.put(place, history.at(*place).saying(due=0, missed={}))


def _proof_of_a_later_one(stage: Stage) -> list[Objection]:
    """Files of the first epoch, and the proof of the second one's configuration in place of its own."""
    history = stage.history()
    sealed = history.sealed()
    receipts = stage.submit(sealed)
    files = [stage.file(batch, [receipt]) for batch, receipt in zip(sealed, receipts, strict=True)]
    batch, index = history.events("configuration")[-1]
    proof = stage.folder / "configuration.mseal"
    proof.write_bytes(sealed[batch].proof(index, [receipts[batch]]))
    return stage.audit([*files[1:4], proof], stage.trust(history))


def _one_less_while_slowed(stage: Stage) -> list[Objection]:
    """Record times run slowed, and each coverage record counts one poll less than there was."""
    began_s = stage.now_s - AGO_S - SLOWED_S
    history = stage.enrolled(slowed(stage.folder / "slowed", began_s, stage.chance).under(stage.name))
    meter = any_meter(history, stage)
    clock = history.events("clock")[0][0]
    for batch in range(clock + 1, len(history.batches)):
        if places := [p for p in history.places(Reading, meter) if p[0] == batch]:
            del history.batches[batch].records[places[0][1]]
    _only_what_is_there(history)
    return stage.tell(history)


CASES = {
    "nothing-due-between-two-ends": Case("audit", "due", "nothing would be due", edited(_two_ends)),
    "one-poll-less-by-a-schedule": Case("audit", "due", "would be due", edited(_skips_one)),
    "pause-in-the-configuration": Case("audit", "due", "nothing would be due", edited(_skips_at_the_start)),
    "grid-of-a-start-begins-later": Case("audit", "due", r"\d+ polls were due", edited(_begins_later)),
    "one-poll-less-while-slowed": Case("audit", "due", r"\d+ polls were due", _one_less_while_slowed),
    "proof-of-a-later-configuration": Case("audit", "due", "earlier", _proof_of_a_later_one),
    "thinned-to-nothing": Case("audit", "due", "every 1000. poll", edited(_thinned_to_nothing)),
    "meter-out-for-a-while": Case(
        "audit", "changed", r"Z, out of the configuration.* until .*Z, ", edited(_out_for_a_while)
    ),
    "period-changed-and-said": Case("audit", "changed", "period: 10 s until .*Z, then 20 s", edited(_period_said)),
}
