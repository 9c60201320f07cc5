"""Statements that a running ledger must not take, by keys that it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.formats.cose_key import EDDSA, PrivateKey
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.formats.senml import Reading
from ledger_client.formats.statement import parse_statement, sign_statement
from tests.campaigns.dishonest.dishonest_edits import other_value
from tests.campaigns.dishonest.dishonest_stage import LEDGERS, Case, Objection, Stage
from tests.campaigns.dishonest.forged_history import Batch, History, Sealed
from tests.support.commands import ledger_command

HOUR_MS = 3_600_000
Edit = Callable[[History, Stage], None]


def offered(edit: Edit) -> Callable[[Stage], list[Objection]]:
    """The honest history with one thing changed: what the ledger says; and it must hold what it had before."""

    def story(stage: Stage) -> list[Objection]:
        history = stage.history()
        edit(history, stage)
        return _refused(stage, history.sealed())

    return story


def _refused(stage: Stage, sealed: list[Sealed]) -> list[Objection]:
    with stage.client() as client:
        taken = 0
        try:
            for batch in sealed:
                client.submit(batch.entry)
                taken += 1
        except Refused as error:
            held = client.statements(stage.name, -1)
            assert held == [batch.entry for batch in sealed[:taken]], "the log holds something else than was taken"
            return [Objection("ledger", error.title, error.detail)]
        except LedgerUnavailable as error:
            return [Objection("ledger", "not now", error.problem)]
    return []


def _batch(stage: Stage) -> int:
    return stage.chance.choice((1, 2))


def _twins(history: History, stage: Stage, *, resume: str | None = None) -> None:
    """A batch tells the numbers of the one before again, with other values."""
    batch = _batch(stage)
    again = history.batches[batch + 1]
    again.records = [other_value(record) for record in history.batches[batch].records]
    again.resume = resume


def _twins_under_resume(history: History, stage: Stage) -> None:
    _twins(history, stage, resume="the database was put back")


def _one_twin(history: History, stage: Stage) -> None:
    """Only the last number of one meter is used again, as the first of the next batch."""
    batch = _batch(stage)
    meter = stage.chance.choice(history.meters)
    last = [r for r in history.batches[batch].records if r.meter == meter][-1]
    history.batches[batch + 1].records.insert(0, last)


def _left_out(history: History, stage: Stage) -> None:
    """The first readings of a batch are left out with their numbers."""
    batch, meter = _batch(stage), stage.chance.choice(history.meters)
    places = [p for p in history.places(Reading, meter) if p[0] == batch][:3]
    for place in reversed(places):
        del history.batches[place[0]].records[place[1]]


def _epoch_begins_later(history: History, stage: Stage) -> None:
    """The second epoch's records begin with its third number."""
    meter = stage.chance.choice(history.meters)
    second = history.batches[-1].records[-1].claims.epoch
    batch = next(b for b in history.batches if any(r.claims.epoch == second for r in b.records))
    for record in [r for r in batch.records if r.meter == meter and r.claims.epoch == second][:2]:
        batch.records.remove(record)


def _of_the_future(history: History, stage: Stage) -> None:
    batch = history.batches[_batch(stage)]
    batch.changes["to_ms"] = int(stage.now_s * 1000) + HOUR_MS


def _from_before(history: History, stage: Stage) -> None:
    batch = history.batches[_batch(stage)]
    batch.changes["from_ms"] = history.from_ms - HOUR_MS


def _back_dated(history: History, stage: Stage) -> None:
    """A reading is a day older than its coverage, and the statement says so."""
    places = [p for p in history.places(Reading) if p[0] == _batch(stage)]
    place = stage.chance.choice(places)
    record = history.at(*place)
    history.put(place, record.saying(time_ms=record.time_ms - 24 * HOUR_MS))


def _another_of_the_number(stage: Stage) -> list[Objection]:
    """The same number twice, with other content: the ledger keeps the first for ever."""
    history = stage.history()
    sealed, number = history.sealed(), _batch(stage)
    stage.submit(sealed)
    first = parse_statement(sealed[number].entry).statement
    other = sign_statement(replace(first, iat=first.iat + 1), history.keys[GATEWAY_ITSELF])
    return _refused_alone(stage, other)


def _resume_at_an_old_number(stage: Stage) -> list[Objection]:
    history = stage.history()
    sealed = history.sealed()
    stage.submit(sealed)
    first = parse_statement(sealed[1].entry).statement
    other = sign_statement(replace(first, resume="the database was put back"), history.keys[GATEWAY_ITSELF])
    return _refused_alone(stage, other)


def _by_a_revoked_key(stage: Stage) -> list[Objection]:
    history = stage.history()
    sealed = history.sealed()
    stage.submit(sealed[:3])
    folder = stage.ledgers[LEDGERS[0]].folder
    done = ledger_command("revoke", folder, stage.name, "--reason", "stolen")
    assert done.code == 0, done.err
    return _refused_alone(stage, sealed[3].entry)


def _under_a_foreign_name(stage: Stage) -> list[Objection]:
    """A gateway that is enrolled signs a batch in another one's name."""
    history, thief = stage.history(), PrivateKey.generate(EDDSA)
    stage.submit(history.sealed()[:2])
    stolen = History(f"{stage.name}-thief", {**history.keys, GATEWAY_ITSELF: thief}, [])
    stage.enrolled(stolen)
    honest = parse_statement(history.sealed()[2].entry).statement
    return _refused_alone(stage, sign_statement(honest, thief))


def _refused_alone(stage: Stage, entry: bytes) -> list[Objection]:
    with stage.client() as client:
        try:
            client.submit(entry)
        except Refused as error:
            return [Objection("ledger", error.title, error.detail)]
    return []


def _later_after_resume(history: History, stage: Stage) -> None:
    """Under ``resume`` a second batch tells again what the log held before the loss."""
    batch = history.batches[3]
    batch.resume = "the database was put back"
    twin = Batch([other_value(r) for r in history.batches[1].records], batch.iat, batch.config, batch.software)
    twin.resume = "the database was put back again"
    history.batches.insert(4, twin)


CASES = {
    "twin-ids": Case("ledger", "Out of order", r"\d", offered(_twins)),
    "twin-ids-under-resume": Case("ledger", "Out of order", r"\d", offered(_twins_under_resume)),
    "twin-ids-of-an-older-batch": Case("ledger", "Out of order", r"\d", offered(_later_after_resume)),
    "one-twin-id": Case("ledger", "Out of order", r"\d", offered(_one_twin)),
    "numbers-left-out": Case("ledger", "Out of order", r"\d", offered(_left_out)),
    "epoch-from-its-third-number": Case("ledger", "Out of order", r"\d", offered(_epoch_begins_later)),
    "statement-of-the-future": Case("ledger", "Not yet", r"\d", offered(_of_the_future)),
    "from-below-the-batch-before": Case("ledger", "Out of order", "from", offered(_from_before)),
    "back-dated-later": Case("ledger", "Out of order", "from", offered(_back_dated)),
    "same-number-again": Case("ledger", "Batch number taken", "for ever", _another_of_the_number),
    "resume-at-an-old-number": Case("ledger", "Batch number taken", "for ever", _resume_at_an_old_number),
    "statement-by-a-revoked-key": Case("ledger", "Key not valid", "stolen", _by_a_revoked_key),
    "in-a-foreign-name": Case("ledger", "Unknown key", "no statement key", _under_a_foreign_name),
}
