"""Keys that a reload replaces: from one commit on the new ones sign, and an audit finds every record in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.device_keys import Keys, load_keys
from gateway.config.model import Config
from gateway.errors import StartAgain, StoreError
from gateway.recording.config_change import Change
from gateway.recording.rules import Rules
from gateway.records import GATEWAY
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.statement import parse_statement
from ledger_client.verification.trust_text import key_entry
from tests.support.audited import audited
from tests.support.clock_history import FrailStore
from tests.support.samples import Hands, Machine, finished, site

CO2, OTHER = "stack-co2", "export-main"
NEW = {owner: PrivateKey.generate() for owner in (GATEWAY, CO2)}


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def change(hands: Hands, loaded: Config) -> None:
    """A reload with new keys, of the statements and of one meter."""
    keys = Keys(NEW[GATEWAY], {**load_keys(loaded).meters, CO2: NEW[CO2]})
    hands.journal.change(Change(replace(Rules.of(loaded), seal_every_ms=60_000), keys, (), {"why": "test"}))


def kids(loaded: Config) -> dict[str, bytes]:
    """The keys that sign before, by owner."""
    keys = load_keys(loaded)
    return {GATEWAY: keys.statement.public.kid, **{meter: key.public.kid for meter, key in keys.meters.items()}}


def by(hands: Hands, owner: str) -> list[bytes]:
    """The keys by which an owner's records are, in order, each once in a row."""
    found = [record.kid for record in hands.records(owner)]
    return [kid for place, kid in enumerate(found) if not place or found[place - 1] != kid]


def test_new_keys_sign_from_one_commit_on_and_an_audit_is_sound(loaded: Config, tmp_path: Path) -> None:
    old, hands = kids(loaded), Hands(loaded)
    hands.poll(8)
    hands.journal.held = "a ledger is asked"
    hands.journal.cut()  # sealed behind the change, by the new key
    for meter in loaded.meters:  # signed by the old key, and committed by the change
        hands.journal.poll(finished(meter, hands.anchor_ms + hands.polls * hands.EVERY_MS, hands.clock))
    hands.polls += 1
    hands.machine.passes(0.5)
    assert len(hands.journal._pending)
    change(hands, loaded)
    hands.machine.passes(9.5)
    hands.journal.held = None
    hands.poll(8)
    hands.journal.cut()
    assert {owner: by(hands, owner) for owner in (GATEWAY, CO2, OTHER)} == {
        GATEWAY: [old[GATEWAY], NEW[GATEWAY].public.kid],
        CO2: [old[CO2], NEW[CO2].public.kid],
        OTHER: [old[OTHER]],
    }
    facts = [{"event": "keys", "owner": o, "key": NEW[o].public.kid, "before": old[o]} for o in (GATEWAY, CO2)]
    assert [event | {"event": "keys"} for event in hands.events("keys")] == facts
    assert [(owner, kid) for owner, kid, _ in hands.store.replaced_keys.all()] == [(o, old[o]) for o in (GATEWAY, CO2)]
    hands.end()
    with loaded.trust.open("a") as trust:
        trust.write(key_entry("statement", NEW[GATEWAY].public, 0, gateway=loaded.gateway_id))
        trust.write(key_entry("meter", NEW[CO2].public, 0, gateway=loaded.gateway_id, meter=CO2))
    result = audited(loaded, tmp_path / "exports")
    assert result.findings == []
    assert len(result.batches) > 2


@pytest.mark.parametrize("fate", ["refused", "full"])
def test_a_change_of_keys_that_the_disk_does_not_take_leaves_the_old_ones_in_force(loaded: Config, fate: str) -> None:
    """Also for the account that the reserve of a full disk has room for, which is written before the change fails."""
    machine = Machine()
    store = FrailStore(loaded.database, machine)
    old, hands = kids(loaded), Hands(loaded, machine, store=lambda _: store)
    hands.poll(2)
    hands.journal.flush()
    store.fates = [(fate, 0.0)]
    with pytest.raises(StoreError, match="cannot write the change"):
        change(hands, loaded)
    machine.passes(5)
    hands.journal.keep_time()
    hands.poll(2)
    hands.journal.cut()
    hands.journal.keep_time()
    assert {owner: by(hands, owner) for owner in old} == {owner: [kid] for owner, kid in old.items()}
    assert hands.events("keys") == []
    batch = hands.store.batches.last()
    assert batch is not None
    assert parse_statement(batch.entry).kid == old[GATEWAY]


def test_a_change_of_keys_that_the_disk_has_kept_all_the_same_begins_another_epoch(loaded: Config) -> None:
    machine = Machine()
    store = FrailStore(loaded.database, machine)
    hands = Hands(loaded, machine, store=lambda _: store)
    hands.poll(2)
    hands.journal.flush()
    store.fates = [("kept", 0.0)]
    with pytest.raises(StoreError, match="cannot write the change"):
        change(hands, loaded)
    machine.passes(5)
    with pytest.raises(StartAgain):
        hands.journal.keep_time()
    assert len(hands.events("keys")) == 2
