"""Audits: what holds passes, and whatever does not is found and named, on one processor and on several."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ledger_client.audit import MOST
from ledger_client.audit_report import audit_in_words
from ledger_client.cose_key import ES256
from ledger_client.record import Reading, Value, parse_record
from ledger_client.trust import key_entry
from tests.ledger_client.batches import OTHER, Gateway, audited, findings, trusted
from tests.ledger_client.evidence import EPOCH, GATEWAY, LEDGER, METER, NOW, T0, VALID_FROM, key, receipt_for, trust


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def name(seq: int, meter: str = METER) -> str:
    return f"{meter}/{EPOCH.hex()}/{seq}"


def test_a_period_that_holds(gateway: Gateway) -> None:
    paths = [gateway.write() for _ in range(12)]
    result = audited(*sorted(paths))  # 10 and 11 come before 2: the order of the files does not matter
    assert result.findings == []
    assert result.sound
    assert (result.gateway, [b.batch for b in result.batches], result.notes) == (GATEWAY, list(range(12)), [])
    told = result.meters[OTHER]
    assert (told.readings, told.due, told.recorded, told.missed) == (36, 48, 36, {"timeout": 12})
    words = "\n".join(audit_in_words(result))
    assert words.startswith(f"SOUND: batches 0 to 11 of gateway {GATEWAY}, 96 records: everything holds")
    assert json.loads(json.dumps(result.as_json()))["batches"][3]["receipts"][0]["ledger"] == LEDGER


def test_several_processors_find_the_same(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger_client.audit_records.PORTION", 3)
    paths = [gateway.write() for _ in range(3)]
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[:400] + bytes((data[400] ^ 1,)) + data[401:])
    assert findings(audited(*paths, processes=2)) == findings(audited(*paths, processes=1)) != []


def test_a_period_may_begin_later_and_says_so(gateway: Gateway) -> None:
    paths = [gateway.write() for _ in range(4)]
    result = audited(*paths[2:])
    assert result.sound
    assert result.notes == ["begins at batch 2: nothing is said of what was before it"]
    gateway.chains[METER].new_epoch(1)
    assert audited(paths[3], gateway.write()).sound


def test_a_missing_batch_is_a_finding(gateway: Gateway) -> None:
    paths = [gateway.write() for _ in range(5)]
    result = audited(paths[0], paths[1], paths[4])
    assert findings(result) == [(4, None, "chain")]
    assert "batches 2 to 3 are missing" in result.findings[0].detail


def test_two_stories_about_one_batch(gateway: Gateway, tmp_path: Path) -> None:
    first = gateway.write()
    (tmp_path / "b").mkdir()
    second = Gateway(tmp_path / "b").write(software="meterseal/9.9")
    result = audited(first, second)
    assert findings(result) == [(0, None, "chain")]
    assert "two stories" in result.findings[0].detail
    copy = tmp_path / "copy"
    copy.write_bytes(first.read_bytes())
    assert audited(first, copy).notes == [f"{copy}: the same batch as {first}"]


def test_a_statement_that_follows_another(gateway: Gateway) -> None:
    result = audited(gateway.write(), gateway.write(prev=bytes(32)))
    assert findings(result) == [(1, None, "chain")]


@pytest.mark.parametrize(
    ("what", "changes"),
    [("left out", {"seq": 2}), ("another story", {"prev": bytes(32)}), ("no past", {"prev": None})],
)
def test_a_broken_chain_of_records(gateway: Gateway, what: str, changes: dict[str, object]) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    seq = chain.seq + (1 if what == "left out" else 0)
    chain.since += 1
    row = chain.add(Reading(T0 * 1000, (Value("count", 1, "count"),)), **{**changes, "seq": seq})
    result = audited(first, gateway.write([row, chain.coverage()]))
    assert findings(result) == [(1, name(seq), "chain")]


def test_an_epoch_that_was_left_never_returns(gateway: Gateway) -> None:
    chain = gateway.chains[METER]
    rows = [chain.coverage(due=0, recorded=0)]
    chain.new_epoch(1)
    rows.append(chain.coverage(due=0, recorded=0))
    chain.epoch, chain.seq = EPOCH, 1
    rows.append(chain.coverage(due=0, recorded=0))
    result = audited(gateway.write(rows[:2]), gateway.write(rows[2:]))
    assert findings(result) == [(1, name(1), "chain")] * 2
    assert result.findings[0].detail == "its epoch was left, and has returned"


def test_the_first_record_of_all_has_no_past(gateway: Gateway) -> None:
    gateway.chains[METER].prev = bytes(32)
    assert findings(audited(gateway.write())) == [(0, name(0), "chain")]


@pytest.mark.parametrize("shift", [-1, 1])
def test_coverage_that_does_not_tile(gateway: Gateway, shift: int) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    from_ms = chain.covered_to_ms + shift
    row = chain.coverage(from_ms=from_ms)
    assert findings(audited(first, gateway.write([row]))) == [(1, name(4), "coverage")]


def test_coverage_that_counts_what_is_not_there(gateway: Gateway) -> None:
    chain = gateway.chains[METER]
    rows = [chain.reading(), chain.coverage(due=2, recorded=2)]
    result = audited(gateway.write(rows))
    assert findings(result) == [(0, name(1), "coverage")]
    assert result.findings[0].detail == "it counts 2 readings as recorded, and there are 1"


def test_a_database_that_was_put_back_is_noted_not_found(gateway: Gateway) -> None:
    first = gateway.write()
    chain = gateway.chains[METER]
    kept = replace(chain)
    lost = gateway.write([chain.reading(), chain.coverage()])
    gateway.chains[METER] = kept
    kept.new_epoch(5)
    resumed = gateway.write([kept.coverage(missed=9)], resume="restored")
    result = audited(first, lost, resumed, gateway.write())
    assert findings(result) == []
    assert result.notes[0] == "batch 2 goes on after a loss: restored"
    assert "goes on from an older record" in result.notes[1]
    assert len(result.notes) == 2
    alone = audited(first, resumed)
    assert findings(alone) == [(2, None, "chain")]


def test_statement_and_records_do_not_agree(gateway: Gateway) -> None:
    rows = gateway.usual()
    times = [parse_record(row).time_ms for row in rows]
    result = audited(gateway.write(rows, from_ms=min(times) + 1, to_ms=max(times)))
    assert {(f.record, f.step) for f in result.findings} == {(name(0), "statement"), (name(0, OTHER), "statement")}


def test_keys_receipts_and_policy_are_those_of_the_trust_file(gateway: Gateway) -> None:
    path = gateway.write()
    assert {f.step for f in audited(path, by=trust()).findings} == {"record"}
    assert findings(audited(path, by=trusted(ledgers=("another",)))) == [(0, None, "receipts")]
    late = key_entry("meter", key("meter").public, NOW, gateway=GATEWAY, meter=METER)
    assert findings(audited(path, by=trusted(keys={"meter": late}))) == [(0, None, "validity")]
    stranger = key_entry("statement", key("stranger", ES256).public, VALID_FROM, gateway=GATEWAY)
    assert findings(audited(path, by=trusted(keys={"statement": stranger}))) == [(0, None, "statement")]
    nothing = gateway.write(receipts=[])
    assert findings(audited(path, nothing)) == [(1, None, "policy")]


def test_a_reading_from_after_its_receipt(gateway: Gateway) -> None:
    rows = gateway.usual()
    entry = gateway.entry(rows)
    early = receipt_for(entry, iat=T0 - 7000)
    gateway.batch, gateway.prev = 0, None
    late = {f.step for f in audited(gateway.write(rows, [early])).findings}
    assert late == {"validity"}


def test_findings_are_bounded_and_counted(gateway: Gateway) -> None:
    path = gateway.write(gateway.usual(60))
    result = audited(path, by=trust())
    assert (len(result.findings), result.findings_total) == (61, 61)
    result = audited(*[gateway.write(gateway.usual(60)) for _ in range(2)], by=trust())
    assert (len(result.findings), result.findings_total) == (MOST, 122)
    assert "  … and 22 more" in audit_in_words(result)


def test_the_command(gateway: Gateway, tmp_path: Path) -> None:
    path, file = gateway.write(), tmp_path / "trust.toml"
    other = key_entry("meter", key(OTHER).public, VALID_FROM, gateway=GATEWAY, meter=OTHER)
    entries = [
        key_entry("meter", key("meter").public, VALID_FROM, gateway=GATEWAY, meter=METER),
        key_entry("statement", key("statement", ES256).public, VALID_FROM, gateway=GATEWAY),
        key_entry("ledger", key(LEDGER).public, VALID_FROM, ledger=LEDGER),
    ]
    policy = f'[policy]\nreceipts = 1\nledgers = ["{LEDGER}"]\n'
    file.write_text(policy + "".join(entries))

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "ledger_client.cli", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True)

    said = run("audit", path, "--trust", file, "--json")
    assert (said.returncode, json.loads(said.stdout)["findings_total"]) == (1, 4)
    file.write_text(policy + "".join([*entries, other]))
    assert run("audit", path, "--trust", file).returncode == 0
    proof = run("prove", path, METER, "-o", tmp_path / "x.mseal")
    assert proof.returncode == 0, proof.stderr
    assert run("verify", tmp_path / "x.mseal", "--trust", file).returncode == 0
    said = run("verify", path, "--trust", file, "--json")
    assert (said.returncode, said.stdout) == (2, "")
    assert f"{path}: is a whole batch" in said.stderr
    assert f"meterseal-ledger audit {path} --trust {file}" in said.stderr
    for wrong in (("audit", tmp_path / "none", "--trust", file), ("prove", path, "nobody", "-o", tmp_path / "y")):
        said = run(*wrong)
        assert (said.returncode, "Traceback" in said.stderr) == (2, False)
