"""Histories of which not everything is handed over, or some is recorded twice: for an audit to find."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ledger_client.formats.record import GATEWAY_ITSELF, Coverage
from ledger_client.formats.senml import Reading
from tests.campaigns.dishonest.dishonest_edits import (
    announced,
    any_meter,
    any_reading,
    covered_to,
    early,
    edited,
    other_value,
)
from tests.campaigns.dishonest.dishonest_stage import ACCOMPLICE, LEDGERS, Case, Objection, Stage
from tests.campaigns.dishonest.forged_history import Batch, History, Unsigned
from tests.support.commands import ledger_command

# — numbers, at a ledger that takes anything —


def _twins(history: History, stage: Stage) -> None:
    """A batch tells the numbers of the one before again, with other values."""
    batch = early(stage)
    records, again = history.batches[batch].records, history.batches[batch + 1]
    again.records = [other_value(record) for record in records]


def _numbers_left_out(history: History, stage: Stage) -> None:
    """Three readings that were anchored nowhere are left out, with their numbers; coverage says timeouts."""
    meter, batch = any_meter(history, stage), early(stage)
    for place in reversed([p for p in history.places(Reading, meter) if p[0] == batch][:3]):
        del history.batches[place[0]].records[place[1]]
    history.recount(lambda body, _: body.due)


# — files —


def _copied(*, first: bool) -> Callable[[Stage], list[Objection]]:
    """A second file of a batch, with one record changed, is given before or behind the true one."""

    def story(stage: Stage) -> list[Objection]:
        history = stage.history()
        sealed = history.sealed()
        files = [stage.file(b, [r]) for b, r in zip(sealed, stage.submit(sealed), strict=True)]
        batch = early(stage)
        copy = stage.folder / "copy.mbatch"
        (_, index) = any_reading(history, stage, batch, any_meter(history, stage))
        record = sealed[batch].records[index]
        changed = record[:-70] + bytes((record[-70] ^ 1,)) + record[-69:]
        copy.write_bytes(files[batch].read_bytes().replace(record, changed))
        order = [copy, *files] if first else [*files, copy]
        return stage.audit(order, stage.trust(history))

    return story


def _some(pick: Callable[[list[Path]], list[Path]], *, online: bool = False) -> Callable[[Stage], list[Objection]]:
    """Only some of the files of a period are handed over."""

    def story(stage: Stage) -> list[Objection]:
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


def _without_its_configuration(stage: Stage) -> list[Objection]:
    """The files of one epoch without its first batch."""
    history = stage.history()
    sealed = history.sealed()
    files = [stage.file(b, [r]) for b, r in zip(sealed, stage.submit(sealed), strict=True)]
    return stage.audit(files[1:4], stage.trust(history))


# — losses, and what is late —


def recorded_again(history: History) -> None:
    """A database is put back to where batch 1 ended, and the time since is recorded again with better values."""
    begins, (*_, again) = history.batches[2].records[0].claims, history.batches[:4]
    lost = [record for batch in history.batches[2:4] for record in batch.records]
    at_ms = {meter: covered_to(history, meter, 1) for meter in history.meters}
    records = [
        *(Unsigned(begins._replace(meter=meter), Coverage(ms, ms, 0, 0, {})) for meter, ms in at_ms.items()),
        *(r.at(iat=begins.iat, up_ms=begins.up_ms) for r in history.batches[0].records if r.meter == GATEWAY_ITSELF),
        *map(other_value, lost),
    ]
    epoch = bytes(reversed(begins.epoch))
    records = [r.at(epoch=epoch, seq=0, up_ms=r.claims.up_ms - begins.up_ms) for r in records]
    put_back = Batch(records, again.iat, again.config, again.software, "the database was put back", behind=1)
    history.batches = [*history.batches[:4], put_back]
    history.number()


def _recorded_again(stage: Stage) -> list[Objection]:
    history = stage.history()
    recorded_again(history)
    return stage.tell(history)


def _recorded_again_allowed(stage: Stage) -> list[Objection]:
    """The same, where losses are allowed: what is due and recorded is counted once, as it was anchored first."""
    history = stage.history()
    first = [history.at(*p).body for p in history.places(Coverage) if p[0] < 4]
    once = sum(body.due for body in first if isinstance(body, Coverage))
    recorded_again(history)
    sealed = history.sealed()
    files = [stage.file(b, [r]) for b, r in zip(sealed, stage.submit(sealed), strict=True)]
    trust = stage.trust(history)
    answer = ledger_command("audit", *files, "--trust", trust, "--json", "--allow-resume")
    meters = answer.facts["meters"]
    counts = sum(meter["due"] for meter in meters), sum(meter["recorded"] for meter in meters)
    assert (answer.code, counts) == (0, (once, once)), (answer.code, counts, once)
    return [Objection("audit", "note", text) for text in answer.facts["notes"]]


def _lost_by_event(history: History, stage: Stage) -> None:
    """Three readings are said to have been lost with a damaged database."""
    meter, batch = any_meter(history, stage), early(stage)
    places = [p for p in history.places(Reading, meter) if p[0] == batch][:3]
    numbers = [history.at(*place).claims.seq for place in places]
    lost = [[meter, history.at(*places[0]).claims.epoch, numbers[0], numbers[-1]]]
    for place in reversed(places):
        del history.batches[place[0]].records[place[1]]
    announced(history, batch, "repaired", ranges=lost, lost=3)
    history.batches[batch].resume = "the database was damaged"
    history.recount(lambda body, _: body.due)


CASES = {
    "twin-ids-at-an-accomplice": Case("audit", "chain", "number", edited(_twins, ledger=ACCOMPLICE)),
    "numbers-left-out-at-an-accomplice": Case("audit", "chain", "number", edited(_numbers_left_out, ledger=ACCOMPLICE)),
    "copied-file-given-first": Case("audit", "record", "signature", _copied(first=True)),
    "copied-file-given-last": Case("audit", "record", "signature", _copied(first=False)),
    "tail-cut-off": Case("audit", "chain|coverage|ends", "end", _some(lambda files: files[:-3])),
    "head-cut-off": Case("audit", "chain|coverage|ends", "begin", _some(lambda files: files[2:])),
    "middle-cut": Case("audit", "chain", "missing", _some(lambda files: files[:2] + files[3:])),
    "tail-cut-off-online": Case("audit", "chain|ends", "last", _some(lambda files: files[:-1], online=True)),
    "due-before-any-configuration": Case("audit", "due", "earlier", _without_its_configuration),
    "told-again": Case("audit", "resume", "twice", _recorded_again),
    "told-again-and-allowed": Case(
        "audit", "note", "told twice; counted as it was anchored first", _recorded_again_allowed
    ),
    "lost-by-an-event": Case("audit", "resume", "lost", edited(_lost_by_event)),
}
