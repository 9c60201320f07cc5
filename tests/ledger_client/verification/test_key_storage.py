"""Where the keys of a proof are held: in hardware only where somebody answers for it, and only from his date on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ledger_client.audit.report import audit_in_words
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.record import GATEWAY_ITSELF, Event, sign_record
from ledger_client.formats.statement import id_text, statement_id
from ledger_client.times import rfc3339
from ledger_client.verification.as_json import verified_json
from ledger_client.verification.explain import facts_in_words
from ledger_client.verification.trust import Held, Trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import verify
from tests.support.audit_batches import Gateway, audited, trusted
from tests.support.evidence import LEDGER, METER, NOW, T0, VALID_FROM, Site, claims, key, receipt_for, trust

RECORD_S, STATEMENT_S, RECEIPT_S = T0 + 1, T0 + 2, T0 + 5
HARDWARE_SINCE = "hardware (attested by demo-ledger, 2026-11-17)"
HELD = Held("demo-ledger", VALID_FROM, "YubiHSM 2 no. 7550123")


def attested(trusted: Trust, **at: int) -> Trust:
    """The trust file with the keys of these roles in hardware, attested at these times."""
    keys = [
        replace(key, held=Held("auditor" if key.ledger else LEDGER, at[key.role], "seen")) if key.role in at else key
        for key in trusted.keys
    ]
    return replace(trusted, keys=tuple(keys))


def held(proof: bytes, trusted: Trust) -> dict[str, str]:
    """By role, as ``--json`` says it."""
    return {key["role"]: key["held"] for key in verified_json(verify(proof, trusted, NOW))["keys"]}


def test_nobody_has_attested_more_than_files() -> None:
    assert held(Site().build(), trust()) == {"meter": "file", "statement": "file", "ledger": "file"}
    words = facts_in_words(verify(Site().build(), trust(), NOW))
    assert {"  meter key      file", "  statement key  file"} <= set(words)
    assert words[-1].endswith(", key in file")


def test_hardware_comes_with_who_answers_for_it() -> None:
    proven = verify(Site().build(), attested(trust(), statement=VALID_FROM, ledger=VALID_FROM), NOW)
    words = facts_in_words(proven)
    assert "  meter key      file" in words
    assert f"  statement key  {HARDWARE_SINCE}" in words
    assert words[-1].endswith(f", key in {HARDWARE_SINCE.replace(LEDGER, 'auditor')}")
    assert verified_json(proven)["keys"][1] == {
        "role": "statement",
        "meter": None,
        "ledger": None,
        "kid": verified_json(proven)["keys"][1]["kid"],
        "held": "hardware",
        "held_by": LEDGER,
        "held_at": "2026-11-17T11:06:40Z",
        "evidence": "seen",
    }


@pytest.mark.parametrize(("role", "signed_s"), [("meter", RECORD_S), ("statement", STATEMENT_S), ("ledger", RECEIPT_S)])
def test_an_attestation_speaks_from_its_date_on(role: str, signed_s: int) -> None:
    """Of what was signed before, a file that somebody copied then may be the author."""
    assert held(Site().build(), attested(trust(), **{role: signed_s}))[role] == "hardware"
    later = attested(trust(), **{role: signed_s + 1})
    assert held(Site().build(), later)[role] == "file"
    proven = verify(Site().build(), later, NOW)
    (shown,) = [one for one in verified_json(proven)["keys"] if one["role"] == role]
    assert shown["held_at"] == rfc3339(signed_s + 1)
    late = f"is attested by {shown['held_by']} from {shown['held_at']} on only"
    assert any(late in line for line in facts_in_words(proven))


def test_an_event_of_the_gateway_is_by_one_key_that_signs_twice() -> None:
    record = sign_record(claims(meter=GATEWAY_ITSELF), Event("software", {}), key("statement", ES256))
    proof = Site([record]).build()
    assert held(proof, attested(trust(), statement=RECORD_S)) == {"statement": "hardware", "ledger": "file"}
    between = verify(proof, attested(trust(), statement=RECORD_S + 1), NOW)
    assert verified_json(between)["keys"][0]["held"] == "file"
    assert any(line.startswith("  statement key  file until ") for line in facts_in_words(between))


def test_a_receipt_that_does_not_count_lends_no_hardware() -> None:
    """Somebody puts a receipt beside the good one that names the ledger's better key, at the same second."""
    entry, better = Site().entry(), key("token")
    entries = key_entry("ledger", better.public, VALID_FROM, ledger=LEDGER, held=replace(HELD, by="auditor"))
    trusted = trust(extra=entries)
    tree = Tree([leaf_hash(b"another"), leaf_hash(b"later")])
    sub, root = id_text(statement_id(entry)), tree.root
    forged = sign_receipt(LEDGER, sub, RECEIPT_S, tree.size, 0, tree.path(0), root, better)
    good = receipt_for(entry)
    for receipts in ((forged, good), (good, forged)):
        assert held(Site(receipts=receipts).build(), trusted)["ledger"] == "file"
    assert held(Site(receipts=(receipt_for(entry, signer=better),)).build(), trusted)["ledger"] == "hardware"
    later = receipt_for(entry, iat=RECEIPT_S + 1, signer=better)
    assert held(Site(receipts=(later, good)).build(), trusted)["ledger"] == "file"  # the time that counts is the file's


def test_an_audit_says_it_of_all_that_was_signed(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    paths = [gateway.write() for _ in range(3)]
    first = min(key.first_s for key in audited(*paths).signing_keys if key.key.role == "statement")
    assert {key["held"] for key in audited(*paths).as_json()["keys"]} == {"file"}
    whole = audited(*paths, by=attested(trusted(), statement=first, ledger=VALID_FROM - 10**6))
    shown = {key["role"]: key["held"] for key in whole.as_json()["keys"]}
    assert shown == {"meter": "file", "statement": "hardware", "ledger": "hardware"}
    words = audit_in_words(whole)
    assert "  meter keys     file" in words
    assert any(line.startswith("  statement key  hardware (") for line in words)
    part = audited(*paths, by=attested(trusted(), statement=first + 1))
    assert [key["held"] for key in part.as_json()["keys"] if key["role"] == "statement"] == ["file"]
    assert any(line.startswith("  statement key  file until ") for line in audit_in_words(part))
    some = replace(trusted(), keys=tuple(replace(k, held=HELD) if k.meter == METER else k for k in trusted().keys))
    assert [key["held"] for key in audited(*paths, by=some).as_json()["keys"]][:2] == ["hardware", "file"]


def test_who_writes_held_for_another_gateway_lends_it_nothing() -> None:
    """The same key enrolled for two gateways: what is attested of one entry says nothing of the other."""
    other = key_entry("statement", key("statement", ES256).public, VALID_FROM, gateway="other", held=HELD)
    assert held(Site().build(), trust(extra=other))["statement"] == "file"
