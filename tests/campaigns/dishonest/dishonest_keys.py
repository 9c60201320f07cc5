"""Histories whose keys or epochs do not follow one another as an honest gateway's do: for an audit to find."""

from __future__ import annotations

from collections.abc import Callable

from ledger_client.formats.cose_key import EDDSA, PrivateKey
from ledger_client.formats.record import GATEWAY_ITSELF, Coverage, Event
from ledger_client.formats.senml import Reading
from ledger_client.verification.trust_text import key_entry
from tests.campaigns.dishonest.dishonest_edits import any_meter
from tests.campaigns.dishonest.dishonest_stage import Case, Objection, Stage
from tests.campaigns.dishonest.forged_history import History, Unsigned

Edit = Callable[[History, str, PrivateKey], None]


def _second_start(history: History) -> tuple[int, int]:
    """Where the second epoch's configuration stands."""
    return [p for p in history.events("configuration") if _fields(history.at(*p))["at"] == "start"][-1]


def _fields(record: Unsigned) -> dict[str, object]:
    assert isinstance(record.body, Event)
    return dict(record.body.fields)


def _signs(history: History, meter: str, key: PrivateKey, place: tuple[int, int]) -> None:
    """From there on a meter signs with this key, and what is configured says so."""
    for number, batch in enumerate(history.batches):
        for index, record in enumerate(batch.records):
            if (number, index) < place:
                continue
            if record.meter == meter:
                batch.records[index] = record._replace(signer=key)
            elif isinstance(record.body, Event) and record.body.name == "configuration":
                meters = dict(record.body.fields["meters"])
                meters[meter] = {**meters[meter], "key": key.public.kid}
                batch.records[index] = record.saying(meters=meters)


def _announce(history: History, place: tuple[int, int], **facts: object) -> None:
    """An event ``keys`` behind the record there, which is the gateway's."""
    before = history.at(*place)
    history.batches[place[0]].records.insert(place[1] + 1, Unsigned(before.claims, Event("keys", facts)))
    history.number(GATEWAY_ITSELF)


def _replaced(history: History, meter: str, key: PrivateKey) -> None:
    """As it should be: a new key of a meter from the second start on."""
    place = _second_start(history)
    _signs(history, meter, key, place)
    _announce(history, place, owner=meter, key=key.public.kid, before=history.keys[meter].public.kid)


def _old_one_signs(history: History, meter: str, key: PrivateKey) -> None:
    """A reading of the last batch is signed with the key that was replaced, which somebody has kept."""
    _replaced(history, meter, key)
    place = history.places(Reading, meter)[-1]
    history.put(place, history.at(*place)._replace(signer=None))


def _old_one_returns(history: History, meter: str, key: PrivateKey) -> None:
    """The gateway of the last batch has the key that was replaced, and its event says so."""
    _replaced(history, meter, key)
    last = len(history.batches) - 1
    place = last, 0
    records = history.batches[last].records
    for index, record in enumerate(records):
        if record.meter == meter:
            records[index] = record._replace(signer=None)
    gateways = [p for p in history.places(Event) if history.at(*p).meter == GATEWAY_ITSELF and p < place]
    claims = records[0].claims._replace(meter=GATEWAY_ITSELF, seq=history.at(*gateways[-1]).claims.seq + 1)
    fields = {"owner": meter, "key": history.keys[meter].public.kid, "before": key.public.kid}
    records.insert(0, Unsigned(claims, Event("keys", fields)))
    history.number(GATEWAY_ITSELF)


def _without_event(history: History, meter: str, key: PrivateKey) -> None:
    """The second start has another key of a meter in its configuration, and no event says that it is new."""
    _signs(history, meter, key, _second_start(history))


def _as_new(history: History, meter: str, key: PrivateKey) -> None:
    """From the second start on a meter is said to be new: a key that follows none, and nothing was due before."""
    place = _second_start(history)
    _signs(history, meter, key, place)
    _announce(history, place, owner=meter, key=key.public.kid)
    first = next(p for p in history.places(Coverage, meter) if p > place)
    body = history.at(*first).body
    assert isinstance(body, Coverage)
    history.put(first, history.at(*first).saying(from_ms=body.to_ms, due=0, missed={}))


def _both_epochs(history: History, meter: str, key: PrivateKey) -> None:
    """A second process goes on in the first epoch for one meter, beside the second epoch."""
    place = _second_start(history)
    before = [r for b in history.batches[: place[0] + 1] for r in b.records if r.meter == meter]
    epoch = history.at(*place).claims.epoch
    old = [record for record in before if record.claims.epoch != epoch][-1].claims
    started = history.at(*place).claims
    later_ms = (started.iat - old.iat) * 1000 + old.up_ms - started.up_ms
    for number, index in [p for kind in (Reading, Coverage) for p in history.places(kind, meter)]:
        record = history.at(number, index)
        if record.claims.epoch == epoch:
            up_ms = record.claims.up_ms + later_ms
            history.put((number, index), record.at(epoch=old.epoch, up_ms=up_ms))
    history.number(meter)


def _edited(edit: Edit) -> Callable[[Stage], list[Objection]]:
    """The honest history with one meter's keys or epochs changed; the trust file has the second key, too."""

    def story(stage: Stage) -> list[Objection]:
        history, key = stage.history(), PrivateKey.generate(EDDSA)
        meter = any_meter(history, stage)
        edit(history, meter, key)
        return stage.tell(history, more=key_entry("meter", key.public, 0, gateway=history.gateway, meter=meter))

    return story


CASES = {
    "replaced-key-signs": Case(
        "audit", "keys", "signs, and event gateway/.* has replaced it before", _edited(_old_one_signs)
    ),
    "replaced-key-returns": Case(
        "audit", "keys", "returns, and event gateway/.* has replaced it", _edited(_old_one_returns)
    ),
    "key-without-event": Case("audit", "keys", "no keys event says so", _edited(_without_event)),
    "meter-comes-as-new": Case("audit", "keys", "takes the place of .* does not say so", _edited(_as_new)),
    "two-epochs-at-once": Case("audit", "chain", "was over: gateway/.* has begun the next", _edited(_both_epochs)),
}
