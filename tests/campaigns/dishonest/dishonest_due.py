"""Histories in which less was due than the schedule says, or another key signs: for an audit to find."""

from __future__ import annotations

from ledger_client.formats.cose_key import EDDSA, PrivateKey
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Reading
from ledger_client.verification.trust_text import key_entry
from tests.campaigns.dishonest.dishonest_edits import (
    EVERY_MS,
    announced,
    any_meter,
    covered_to,
    early,
    edited,
)
from tests.campaigns.dishonest.dishonest_stage import Case, Objection, Stage
from tests.campaigns.dishonest.forged_history import Changed, History, Unsigned

# — what was due —


def _every_second(history: History, stage: Stage) -> None:
    """Every second reading of a meter is left out from some batch on, and half as many polls were due."""
    meter, batch = any_meter(history, stage), early(stage)
    _thin(history, meter, batch)
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _thin(history: History, meter: str, batch: int) -> None:
    for place in reversed([p for p in history.places(Reading, meter) if p[0] > batch][::2]):
        del history.batches[place[0]].records[place[1]]
    history.number()


def _due_is_less(history: History, stage: Stage) -> None:
    """Of one coverage record only: three readings are left out, and three polls were not due."""
    meter, batch = any_meter(history, stage), early(stage)
    for place in reversed([p for p in history.places(Reading, meter) if p[0] == batch][1:4]):
        del history.batches[place[0]].records[place[1]]
    history.number()
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _nothing_due(history: History, stage: Stage) -> None:
    """A grid ends, and the next one begins a minute later, with nothing due between them."""
    meter, batch = any_meter(history, stage), early(stage)
    ends_ms = covered_to(history, meter, batch - 1)
    begins_ms = ends_ms - 1 + 7 * EVERY_MS
    announced(history, batch, "schedule", grids={meter: [[ends_ms, 0], [begins_ms, EVERY_MS]]})
    for place in reversed([p for p in history.places(Reading, meter) if p[0] == batch][:6]):
        del history.batches[place[0]].records[place[1]]
    history.number()
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _coarser_grid(history: History, stage: Stage) -> None:
    """A schedule of twice the period is announced, and no thinning."""
    meter, batch = any_meter(history, stage), early(stage)
    ends_ms = covered_to(history, meter, batch)
    grids = {meter: [[ends_ms, 0], [ends_ms - 1 + 2 * EVERY_MS, 2 * EVERY_MS]]}
    _thin(history, meter, batch)
    announced(history, batch + 1, "schedule", grids=grids)
    history.recount(lambda body, there: there + body.missed.get("stopped", 0))


def _other_period(history: History, stage: Stage) -> None:
    """The second epoch's configuration says twice the period, and its grid is still the old one's; half is recorded."""
    meter, event = any_meter(history, stage), history.events("configuration")[-1]
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
    history.batches[early(stage)].config = stage.chance.randbytes(32)


def _renamed_device(history: History, stage: Stage) -> None:
    """From some batch on a meter's records are another meter's, which no configuration knows."""
    meter, batch = any_meter(history, stage), early(stage)
    history.keys["spare"] = PrivateKey.generate(EDDSA)

    def renamed(record: Unsigned) -> Changed:
        return record.at(meter="spare") if record.meter == meter else record

    for later in history.batches[batch + 1 :]:
        later.records = [new for record in later.records if (new := renamed(record))]
    history.number()


# — keys —


def _quiet_key(stage: Stage) -> list[Objection]:
    """A meter signs with another key from some batch on, which the trust file names, and no event."""
    history = stage.history()
    meter, batch, key = any_meter(history, stage), early(stage), PrivateKey.generate(EDDSA)
    for later in history.batches[batch + 1 :]:
        later.records = [r._replace(signer=key) if r.meter == meter else r for r in later.records]
    return stage.tell(history, more=key_entry("meter", key.public, 0, gateway=history.gateway, meter=meter))


def _event_by_revoked_key(stage: Stage) -> list[Objection]:
    """An event is signed with the statement key of before, which was stolen and has been revoked."""
    history, stolen = stage.history(), PrivateKey.generate(EDDSA)
    place = history.events("start")[-1]
    history.put(place, history.at(*place)._replace(signer=stolen))
    entry = key_entry("statement", stolen.public, 0, gateway=history.gateway)
    return stage.tell(history, more=entry + "revoked = 2026-01-01T00:00:00Z\n")


CASES = {
    "halved-due": Case("audit", "due", r"\d", edited(_every_second)),
    "three-polls-not-due": Case("audit", "due", r"\d", edited(_due_is_less)),
    "nothing-due-for-a-minute": Case("audit", "due", "nothing", edited(_nothing_due)),
    "thinning-untold": Case("audit", "due", "thin|factor|period", edited(_coarser_grid)),
    "period-changed-silently": Case("audit", "due", "period", edited(_other_period)),
    "no-configuration": Case("audit", "due", "configuration", edited(_without_configuration)),
    "part-of-a-configuration": Case("audit", "due", "part", edited(_part_of_it)),
    "other-config-than-the-events": Case("audit", "due", "config", edited(_other_config)),
    "meter-that-no-configuration-knows": Case("audit", "due", "configuration", edited(_renamed_device)),
    "quiet-key": Case("audit", "keys", "key", _quiet_key),
    "revoked-keys-event": Case("audit", "validity", "revoked", _event_by_revoked_key),
}
