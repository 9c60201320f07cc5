"""Audit of keys and epochs: a replaced key signs nothing more, and one epoch follows another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ledger_client.audit.result import Audit
from ledger_client.formats.cose_key import ES256, PrivateKey
from ledger_client.formats.record import Event, parse_record
from ledger_client.verification.trust_text import key_entry
from tests.support.audit_batches import OTHER, Gateway, audited, findings, trusted
from tests.support.evidence import EPOCH, GATEWAY, METER, VALID_FROM, key

FIRST, SECOND, THIRD = key("meter"), key("the second"), key("the third")
Lie = Callable[[Gateway], list[bytes]]


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def heard(gateway: Gateway, *batches: list[bytes], resume: str | None = None) -> Audit:
    """The audit of a first usual batch and these; the last one says ``resume``."""
    paths = [gateway.write(rows, resume=resume if rows is batches[-1] else None) for rows in batches]
    more = [key_entry("meter", k.public, VALID_FROM, gateway=GATEWAY, meter=METER) for k in (SECOND, THIRD)]
    more.append(key_entry("meter", FIRST.public, VALID_FROM, gateway=GATEWAY, meter=OTHER))
    return audited(*paths, by=trusted(extra="".join(more)))


def rotated(
    gateway: Gateway, new: PrivateKey, number: int = 1, *, with_event: bool = True, **changed: object
) -> list[bytes]:
    """The first records of a start with another key of a meter."""
    chain = gateway.chains[METER]
    before, chain.signer = chain.key, new
    configuration, *coverage = gateway.restart(number)
    facts = {"owner": METER, "key": new.public.kid, "before": before.public.kid} | changed
    keys = [gateway.event("keys", **{k: v for k, v in facts.items() if v is not None})] if with_event else []
    return [configuration, *keys, *coverage]


def test_a_key_is_replaced_and_the_one_before_signs_only_in_that_batch(gateway: Gateway) -> None:
    usual = gateway.usual()
    change = [*gateway.usual(), *rotated(gateway, SECOND), *gateway.usual()]
    after = gateway.usual()
    assert findings(heard(gateway, usual, change, after)) == []
    gateway.batch, gateway.prev = 0, None
    late = [gateway.chains[METER].add(Event("commissioned", {}), FIRST), *gateway.usual()]
    result = heard(gateway, usual, change, [*after, *late], gateway.usual())
    assert findings(result) == [(2, None, "keys")]
    assert "of export-main signs, and event gateway/" in result.findings[0].detail


def reloaded(gateway: Gateway, new: PrivateKey, *, with_event: bool = True) -> list[bytes]:
    """The commit of a reload within an epoch, all of it by the new key."""
    chain = gateway.chains[METER]
    before, chain.signer = chain.key, new
    keys = [gateway.event("keys", owner=METER, key=new.public.kid, before=before.public.kid)] if with_event else []
    return [*gateway.cut(), *keys, gateway.configuration("change", why="reload")]


def test_a_reload_replaces_a_key_within_an_epoch(gateway: Gateway) -> None:
    usual, change = gateway.usual(), [*gateway.usual(), *reloaded(gateway, SECOND), *gateway.usual()]
    after = gateway.usual()
    assert findings(heard(gateway, usual, change, after)) == []
    back = [*reloaded(gateway, FIRST), *gateway.usual()]
    quiet = [*reloaded(gateway, THIRD, with_event=False), *gateway.usual()]
    gateway.batch, gateway.prev = 0, None
    result = heard(gateway, usual, change, after, back, quiet)
    assert [(found.batch, found.step) for found in result.findings] == [(3, "keys"), (4, "keys")]


LIES: dict[str, tuple[Lie, str]] = {
    "returns": (lambda g: rotated(g, FIRST, 2), "returns, and event gateway/"),
    "returns without an event": (lambda g: rotated(g, FIRST, 2, with_event=False), "returns, and event gateway/"),
    "changes without an event": (lambda g: rotated(g, THIRD, 2, with_event=False), "and no keys event says so"),
    "comes as new": (lambda g: rotated(g, THIRD, 2, before=None), "and the event does not say so"),
    "replaces another": (lambda g: rotated(g, THIRD, 2, before=FIRST.public.kid), "and the event says that of"),
}


@pytest.mark.parametrize("resume", [None, "a backup was put back"])
@pytest.mark.parametrize("lie", LIES)
def test_a_key_that_returns_or_changes_otherwise_is_found(gateway: Gateway, lie: str, resume: str | None) -> None:
    """Behind a loss, which may have put a key back, it is of that step."""
    tell, words = LIES[lie]
    usual, change = gateway.usual(), [*rotated(gateway, SECOND), *gateway.usual()]
    result = heard(gateway, usual, change, [*tell(gateway), *gateway.usual()], resume=resume)
    about = [f for f in result.findings if words in f.detail]
    assert [(f.batch, f.step) for f in about] == [(2, "resume" if resume else "keys")]
    assert {f.step for f in result.findings} == {"resume" if resume else "keys"}


def test_a_replaced_key_returns_at_no_other_meter_and_two_may_exchange_theirs(gateway: Gateway) -> None:
    usual, change = gateway.usual(), [*rotated(gateway, SECOND), *gateway.usual()]
    keys_event = gateway.event("keys", owner=OTHER, key=FIRST.public.kid, before=key(OTHER).public.kid)
    result = heard(gateway, usual, change, [keys_event, *gateway.usual()])
    assert findings(result)[0] == (2, str(parse_record(keys_event).id), "keys")
    gateway.batch, gateway.prev = 0, None
    exchanged = [keys_event, gateway.event("keys", owner=METER, key=key(OTHER).public.kid, before=FIRST.public.kid)]
    result = heard(gateway, usual, exchanged)
    assert [f for f in result.findings if "returns" in f.detail] == []


def test_a_statement_by_the_key_of_before_is_found(gateway: Gateway, tmp_path: Path) -> None:
    old, new = key("statement", ES256), key("statement of today", ES256)
    by = trusted(extra=key_entry("statement", new.public, VALID_FROM, gateway=GATEWAY))
    first = gateway.write()
    gateway.itself.signer = new
    configuration, *coverage = gateway.restart(1)
    keys = gateway.event("keys", owner="gateway", key=new.public.kid, before=old.public.kid)
    second = gateway.write([configuration, keys, *coverage, *gateway.usual()])
    result = audited(first, second, gateway.write(), by=by)
    assert findings(result) == [(2, None, "keys")]
    assert "signs its statement, and event gateway/" in result.findings[0].detail


def test_a_statement_is_by_a_key_that_an_event_names_by_then(gateway: Gateway) -> None:
    """A batch that was cut before a start is sealed behind it, with the key that the next batch introduces."""
    old, new = key("statement", ES256), key("statement of today", ES256)
    by = trusted(extra=key_entry("statement", new.public, VALID_FROM, gateway=GATEWAY))
    first, waiting = gateway.write(), gateway.usual()
    start = gateway.restart(1)
    gateway.seals = new
    second, behind = gateway.write(waiting), gateway.usual()
    keys_event = gateway.event("keys", owner="gateway", key=new.public.kid, before=old.public.kid)
    number, prev = gateway.batch, gateway.prev
    assert findings(audited(first, second, gateway.write([*start, *behind, keys_event]), by=by)) == []
    gateway.batch, gateway.prev = number, prev
    result = audited(first, second, gateway.write([*start, *behind]), by=by)
    assert findings(result) == [(1, None, "keys")]
    assert "which no configuration or keys event names" in result.findings[0].detail


def test_files_that_begin_behind_a_key_know_what_it_replaced(gateway: Gateway) -> None:
    gateway.write()
    change = [*rotated(gateway, SECOND), *gateway.usual()]
    gateway.batch, gateway.prev = 1, bytes(32)
    after = gateway.usual()
    back = [gateway.chains[METER].add(Event("commissioned", {}), FIRST), *gateway.usual()]
    assert findings(heard(gateway, change, after, back)) == [(3, None, "keys")]


def test_nothing_of_an_epoch_comes_behind_the_gateways_first_record_of_the_next(gateway: Gateway) -> None:
    first = gateway.write()
    chain = gateway.chains[OTHER]
    seq = chain.seq
    rows = [*gateway.restart(1), *gateway.usual()]
    chain.epoch, chain.seq = EPOCH, seq
    late = [chain.add(Event("commissioned", {}))]
    result = audited(first, gateway.write([*rows, *late]))
    found = [f.detail for f in result.findings if f.step == "chain"]
    assert found[0] == "its epoch was left, and has returned"
    assert any("was over: gateway/" in detail for detail in found)


def test_an_epoch_begins_with_a_record_of_the_gateway(gateway: Gateway) -> None:
    first = gateway.write()
    configuration, *coverage = gateway.restart(1)
    result = audited(first, gateway.write([*coverage, configuration, *gateway.usual()]))
    assert {f.detail for f in result.findings if f.step == "chain"} == {
        "its epoch begins without a record of the gateway"
    }
