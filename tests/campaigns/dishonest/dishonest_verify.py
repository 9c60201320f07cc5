"""Proofs of single readings that whoever checks them must not take, or that `verify` must remark on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ledger_client.formats import cbor
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.cose_key import EDDSA, PrivateKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.record import parse_record
from ledger_client.formats.senml import Reading
from ledger_client.formats.statement import attach_receipts, id_text
from ledger_client.verification.trust_text import key_entry
from tests.campaigns.dishonest.dishonest_edits import other_value
from tests.campaigns.dishonest.dishonest_stage import ACCOMPLICE, AGO_S, LEDGERS, Case, Objection, Stage, no
from tests.campaigns.dishonest.forged_history import History, Sealed
from tests.campaigns.honest.honest_history import TAKES_S, honest
from tests.support.commands import gateway_command, ledger_command

DAY_S = 86_400
WHO = {"verify": "verify", "audit": "audit", "enroll": "ledger", "meterseal": "gateway"}
BOMBS = {"deep": "a = " + "[" * 20_000, "digits": "a = " + "9" * 6_000}


def _place(history: History, stage: Stage) -> tuple[int, int]:
    return stage.chance.choice(history.places(Reading))


def _proof(stage: Stage, history: History, place: tuple[int, int]) -> tuple[bytes, Sealed, list[bytes]]:
    """The bundle of the record there, its batch, and the receipts of all batches."""
    sealed = history.sealed()
    receipts = stage.submit(sealed)
    batch = sealed[place[0]]
    return batch.proof(place[1], [receipts[place[0]]]), batch, receipts


# — what is no record —


def _payload(change: Callable[[list[Any]], None]) -> Callable[[Stage], list[Objection]]:
    """A reading whose pack says something that our own writer would not write."""

    def story(stage: Stage) -> list[Objection]:
        history = stage.history()
        place = _place(history, stage)
        data = parse_record(history.sealed()[place[0]].records[place[1]]).sign1.payload
        assert data is not None
        entries = cbor.decode(data)
        change(entries)
        history.put(place, history.at(*place)._replace(payload=cbor.encode(entries)))
        bundle, _, _ = _proof(stage, history, place)
        return stage.verify(bundle, stage.trust(history))

    return story


def _point_twice(entries: list[Any]) -> None:
    first = entries[0]
    entries.append({0: first[0], 1: first[1], 2: 4711})


def _empty_and_good(entries: list[Any]) -> None:
    entries.append({0: "note", 3: ""})


# — receipts —


def _junk_beside_a_good_one(stage: Stage) -> list[Objection]:
    """It counts for nothing, and `verify` names it to whoever reads the proof."""
    history = stage.history()
    place = _place(history, stage)
    bundle, batch, receipts = _proof(stage, history, place)
    parts = Bundle.parse(bundle)
    junk = stage.chance.randbytes(40)
    data = {
        "v": 1,
        "record": parts.record,
        "anchors": [],
        "inclusion": [parts.size, parts.index, list(parts.path)],
        "statement": attach_receipts(batch.entry, [receipts[place[0]], junk]),
    }
    path = stage.folder / "junk.mseal"
    path.write_bytes(cbor.encode(data))
    answer = ledger_command("verify", path, "--trust", stage.trust(history), "--json")
    if answer.code != 0:
        return no(answer, "verify")
    return [Objection("verify", "unconfirmed", str(text)) for text in answer.facts["unconfirmed"]]


def _of_another_statement(stage: Stage) -> list[Objection]:
    """A ledger's receipt names another statement than the one whose place it proves."""
    history = stage.history()
    place = _place(history, stage)
    sealed = history.sealed()
    batch, other = sealed[place[0]], sealed[place[0] - 1]
    tree = Tree([leaf_hash(data) for data in (b"policy", batch.entry)])
    sub, at_s = id_text(other.id), int(stage.now_s)
    receipt = sign_receipt(ACCOMPLICE, sub, at_s, 2, 1, tree.path(1), tree.root, stage.accomplice)
    return stage.verify(batch.proof(place[1], [receipt]), stage.trust(history, [ACCOMPLICE]))


# — keys, and time —


def _event_by_revoked_key(stage: Stage) -> list[Objection]:
    history, stolen = stage.history(), PrivateKey.generate(EDDSA)
    place = history.events("start")[-1]
    history.put(place, history.at(*place)._replace(signer=stolen))
    bundle, _, _ = _proof(stage, history, place)
    entry = key_entry("statement", stolen.public, 0, gateway=history.gateway)
    return stage.verify(bundle, stage.trust(history, more=entry + "revoked = 2026-01-01T00:00:00Z\n"))


def _held_back(stage: Stage) -> tuple[History, list[Sealed], list[bytes]]:
    """Three hundred days ago, and anchored today."""
    began_s = stage.now_s - AGO_S - TAKES_S - 300 * DAY_S
    history = stage.enrolled(honest(stage.folder / "old", began_s, stage.chance).under(stage.name))
    sealed = history.sealed()
    return history, sealed, stage.submit(sealed)


def _held_back_verified(stage: Stage) -> list[Objection]:
    history, sealed, receipts = _held_back(stage)
    batch, index = _place(history, stage)
    return stage.verify(sealed[batch].proof(index, [receipts[batch]]), stage.trust(history, policy='max_delay = "8d"'))


def _held_back_audited(stage: Stage) -> list[Objection]:
    history, sealed, receipts = _held_back(stage)
    files = [stage.file(batch, [receipt]) for batch, receipt in zip(sealed, receipts, strict=True)]
    return stage.audit(files, stage.trust(history, policy='max_delay = "8d"'))


def _in_facts(key: str, make: Callable[[Stage], tuple[History, tuple[int, int]]]) -> Callable[[Stage], list[Objection]]:
    """What a proof that verifies says under a key of its JSON."""

    def story(stage: Stage) -> list[Objection]:
        history, place = make(stage)
        bundle, _, _ = _proof(stage, history, place)
        path = stage.folder / "proof.mseal"
        path.write_bytes(bundle)
        answer = ledger_command("verify", path, "--trust", stage.trust(history), "--json")
        if answer.code != 0:
            return no(answer, "verify")
        found = answer.facts.get(key)
        return [Objection("verify", key, str(found))] if found else []

    return story


def _under_resume(stage: Stage) -> tuple[History, tuple[int, int]]:
    history = stage.history()
    place = _place(history, stage)
    history.batches[place[0]].resume = "the database was put back"
    return history, place


def _two_keys_alike(stage: Stage) -> tuple[History, tuple[int, int]]:
    """An event in which 1 and "1" say different things."""
    history = stage.history()
    place = history.events("start")[0]
    history.put(place, history.at(*place).saying(limits={1: "first", "1": "second"}))
    return history, place


# — two ledgers —


def _forked(stage: Stage) -> list[Objection]:
    """One ledger has one history, the other another one: each proof by itself is good."""
    history = stage.history(LEDGERS)
    place = _place(history, stage)
    bundle, _, _ = _proof(stage, history, place)
    for batch in history.batches:
        batch.records = [other_value(record) for record in batch.records]
    stage.submit(history.sealed(), LEDGERS[1])
    return stage.verify(bundle, stage.trust(history, LEDGERS), *_online(stage, LEDGERS))


def _not_asked(stage: Stage) -> list[Objection]:
    """One of the two ledgers that are believed is not asked."""
    history = stage.history(LEDGERS)
    place = _place(history, stage)
    bundle, _, _ = _proof(stage, history, place)
    return stage.verify(bundle, stage.trust(history, LEDGERS), *_online(stage, LEDGERS[:1]))


def _not_there(stage: Stage) -> list[Objection]:
    """The ledger whose receipt it bears is asked, and does not answer."""
    history = stage.history()
    place = _place(history, stage)
    bundle, _, _ = _proof(stage, history, place)
    gone = ["--online", "--ledger", f"{LEDGERS[0]}=http://127.0.0.1:9"]
    return stage.verify(bundle, stage.trust(history), *gone)


def _online(stage: Stage, ledgers: Sequence[str]) -> list[object]:
    return ["--online", *(word for name in ledgers for word in ("--ledger", f"{name}={stage.ledgers[name].url}"))]


# — files that others wrote —


def _one_chain_twice(stage: Stage) -> list[Objection]:
    """One contract is believed as two ledgers."""
    entry = '[[chain]]\nledger = "{}"\nchain_id = 31337\ncontract = "0x{}"\nsender = "0x{}"\n'
    more = "".join(entry.format(name, "12" * 20, "34" * 20) for name in LEDGERS)
    history = stage.history()
    bundle, _, _ = _proof(stage, history, _place(history, stage))
    return stage.verify(bundle, stage.trust(history, LEDGERS, more=more))


def _one_key_for_two_meters(stage: Stage) -> list[Objection]:
    history = stage.history()
    bundle, _, _ = _proof(stage, history, _place(history, stage))
    meter = history.meters[0]
    more = key_entry("meter", history.keys[meter].public, 0, gateway="another", meter="spare")
    path = stage.folder / "one.mseal"
    path.write_bytes(bundle)
    answer = ledger_command("verify", path, "--trust", stage.trust(history, more=more), "--json")
    return [Objection("verify", "warning", line) for line in answer.err.splitlines() if line.startswith("warning")]


def _bomb(kind: str, by: str) -> Callable[[Stage], list[Objection]]:
    """A TOML file that breaks a parser, where one is read."""

    def story(stage: Stage) -> list[Objection]:
        bomb = stage.folder / "bomb.toml"
        bomb.write_text(BOMBS[kind] + "\n")
        history = stage.history()
        place = _place(history, stage)
        bundle, batch, receipts = _proof(stage, history, place)
        (stage.folder / "x.mseal").write_bytes(bundle)
        file = stage.file(batch, [receipts[place[0]]])
        answer = {
            "verify": lambda: ledger_command("verify", stage.folder / "x.mseal", "--trust", bomb),
            "audit": lambda: ledger_command("audit", file, "--trust", bomb),
            "enroll": lambda: ledger_command("enroll", stage.ledgers[LEDGERS[0]].folder, bomb),
            "meterseal": lambda: gateway_command("check", bomb),
        }[by]()
        objections = no(answer, WHO[by])
        assert all(len(one.text) < 2000 for one in objections), "that is no sentence"
        return objections

    return story


def _bomb_in_policy(kind: str) -> Callable[[Stage], list[Objection]]:
    """It lies where a running ledger reads its policy: it goes on by the older one, and says so."""

    def story(stage: Stage) -> list[Objection]:
        history = stage.history()
        sealed = history.sealed()
        stage.submit(sealed[:2])
        policy = stage.ledgers[LEDGERS[0]].folder / "policy.toml"
        good = policy.read_text()
        policy.write_text(good + BOMBS[kind] + "\n")
        try:
            stage.submit(sealed[2:3])
            answers = [stage.health() for _ in range(2)]
            stage.submit(sealed[3:4])
        finally:
            policy.write_text(good)
        return [Objection("ledger", "health", answer) for answer in answers]

    return story


def _bombs() -> Mapping[str, Case]:
    sentence = r"^(error|meterseal): [^\n]*bomb\.toml"
    cases = {
        f"toml-{kind}-to-{command}": Case(by, "usage, exit 2", sentence, _bomb(kind, command))
        for kind in BOMBS
        for command, by in WHO.items()
    }
    return cases | {
        f"toml-{kind}-as-policy": Case("ledger", "health", "^200 ok, by an older policy", _bomb_in_policy(kind))
        for kind in BOMBS
    }


CASES = {
    "one-point-twice": Case("verify", "parse", "two values", _payload(_point_twice)),
    "empty-value-that-is-good": Case("verify", "parse", "vs is ''", _payload(_empty_and_good)),
    "junk-beside-a-receipt": Case("verify", "unconfirmed", "receipt", _junk_beside_a_good_one),
    "receipt-of-another-statement": Case("verify", "receipts|policy", "another", _of_another_statement),
    "revoked-keys-event-verified": Case("verify", "validity", "revoked", _event_by_revoked_key),
    "held-back-verified": Case("verify", "validity", "held back", _held_back_verified),
    "held-back-audited": Case("audit", "validity", "held back .*policy.max_delay", _held_back_audited),
    "resume-said": Case("verify", "resume", "put back", _in_facts("resume", _under_resume)),
    "two-keys-alike": Case("verify", "values", "(?s)first.*second", _in_facts("values", _two_keys_alike)),
    "two-ledgers": Case("verify", "receipts|policy", "Forked.*second-ledger", _forked),
    "second-ledger-not-asked": Case("verify", "receipts|policy", "second-ledger", _not_asked),
    "ledger-not-there": Case("verify", "receipts|policy", "demo-ledger", _not_there),
    "one-chain-as-two-ledgers": Case("verify", "usage, exit 2", "chain", _one_chain_twice),
    "one-key-for-two-meters": Case("verify", "warning", "one key|same key|two", _one_key_for_two_meters),
    **_bombs(),
}
