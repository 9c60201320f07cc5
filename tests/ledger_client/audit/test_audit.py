"""Audits: what holds passes, and whatever does not is found and named, on one processor and on several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger_client.audit.period_ends import compare_with_ledgers
from ledger_client.audit.report import audit_in_words
from ledger_client.audit.result import MOST
from ledger_client.audit.run import Wanted, audit
from ledger_client.formats.batch_file import BatchFile, write_batch
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.record import Event, parse_record
from ledger_client.verification.trust_text import key_entry
from tests.support.audit_batches import OTHER, Gateway, audited, findings, trusted
from tests.support.commands import ledger_command
from tests.support.evidence import (
    EPOCH,
    GATEWAY,
    LEDGER,
    METER,
    NOW,
    T0,
    VALID_FROM,
    key,
    moment,
    receipt_for,
    trust,
    trust_text,
)


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
    counted = result.meters[OTHER]
    assert (counted.readings, counted.due, counted.recorded, counted.missed) == (36, 48, 36, {"timeout": 12})
    words = "\n".join(audit_in_words(result))
    assert words.startswith(f"SOUND: batches 0 to 11 of gateway {GATEWAY}, 99 records: everything holds")
    assert json.loads(json.dumps(result.as_json()))["batches"][3]["receipts"][0]["ledger"] == LEDGER


def test_how_old_readings_were_when_the_ledgers_had_them(gateway: Gateway) -> None:
    result = audited(gateway.write(), gateway.write(gateway.usual(9)))
    assert result.meters[METER].delay_s == (42, 102)
    meter = result.as_json()["meters"][0]
    assert (meter["name"], meter["delay_s"]) == (METER, {"median": 42, "worst": 102})
    assert (meter["from"], meter["to"]) == ("2026-11-18T09:26:40.000Z", "2026-11-18T09:28:50.001Z")
    assert "on the ledgers after 42.0 s (median), 1 min 42 s (worst)" in "\n".join(audit_in_words(result))


def test_statements_of_1970_and_of_9999(gateway: Gateway) -> None:
    result = audited(gateway.write(iat=0), gateway.write(iat=253_402_300_799), gateway.write())
    assert findings(result) == [(0, None, "statement"), (1, None, "validity")]
    early, late = (finding.detail for finding in result.findings)
    assert "signed at 1970-01-01T00:00:00Z, before its last record" in early
    assert "signed at 9999-12-31T23:59:59Z, more than 300 s after the ledgers had it" in late


def test_a_week_from_cut_to_seal_and_months_without_a_ledger(gateway: Gateway) -> None:
    week, months = 7 * 86_400, 200 * 86_400
    rows, cut_s = gateway.usual(), gateway.clock.now_ms // 1000
    entry = gateway.entry(rows, iat=cut_s + week)
    path = gateway.folder / "late.mbatch"
    with path.open("wb") as file:
        write_batch(file, rows, entry, [receipt_for(entry, iat=cut_s + months)])
    assert audit([path], trusted(), cut_s + months).findings == []


def test_several_processors_find_the_same(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger_client.audit.records.PORTION", 3)
    paths = [gateway.write() for _ in range(3)]
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[:300] + bytes((data[300] ^ 1,)) + data[301:])
    assert findings(audited(*paths, processes=2)) == findings(audited(*paths, processes=1)) != []


def test_a_period_may_begin_later_and_says_so(gateway: Gateway) -> None:
    paths = [gateway.write(), gateway.write([gateway.configuration("day"), *gateway.usual()]), gateway.write()]
    result = audited(*paths[1:])
    assert result.findings == []
    assert result.notes == ["begins at batch 1: nothing is said of what was before it"]
    paths.append(gateway.write([*gateway.polls(2), *gateway.restart(1, stopped_ms=35_007), *gateway.usual()]))
    assert audited(*paths[1:]).sound


def test_a_missing_batch_is_a_finding(gateway: Gateway) -> None:
    paths = [gateway.write() for _ in range(5)]
    result = audited(paths[0], paths[1], paths[4])
    assert findings(result) == [(4, None, "chain"), (4, None, "due")]
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
    for files in ((first, copy), (copy, first)):
        assert audited(*files).notes == [f"{copy}: the same batch as {first}"]
        assert audited(*files).sound


def test_a_second_file_of_a_batch_with_a_changed_record_is_found_in_either_order(
    gateway: Gateway, tmp_path: Path
) -> None:
    first, copy = gateway.write(), tmp_path / "zz-copy"
    record = next(iter(BatchFile.open(first).records(4, 5)))
    copy.write_bytes(first.read_bytes().replace(record, record[:-70] + bytes((record[-70] ^ 1,)) + record[-69:]))
    for name, other in ((copy, first), (tmp_path / "aa-copy", first)):
        copy.replace(name)
        for files in ((name, other), (other, name)):
            steps = {f.step for f in audited(*files).findings if f.file == str(name)}
            assert {"record", "inclusion"} <= steps
            assert not audited(*files).sound
        copy = name


def test_a_statement_that_follows_another(gateway: Gateway) -> None:
    result = audited(gateway.write(), gateway.write(prev=bytes(32)))
    assert findings(result) == [(1, None, "chain")]


def test_a_statement_says_the_least_and_the_greatest_time_of_its_records(gateway: Gateway) -> None:
    rows = gateway.usual()
    times = [parse_record(row).time_ms for row in rows]
    narrow = audited(gateway.write(rows, from_ms=min(times) + 1, to_ms=max(times)))
    assert {(f.record, f.step) for f in narrow.findings} == {
        (name(0, meter), "statement") for meter in (METER, OTHER, "gateway")
    }
    for from_ms, to_ms in ((min(times) - 1, max(times)), (min(times), max(times) + 1)):
        gateway.batch, gateway.prev = 0, None
        wide = audited(gateway.write(rows, from_ms=from_ms, to_ms=to_ms))
        assert findings(wide) == [(0, None, "statement")]
        assert "and its records are from" in wide.findings[0].detail


def test_keys_receipts_and_policy_are_those_of_the_trust_file(gateway: Gateway) -> None:
    path = gateway.write()
    assert {f.step for f in audited(path, by=trust()).findings} == {"record"}
    assert findings(audited(path, by=trusted(ledgers=("another",)))) == [(0, None, "receipts")]
    late = key_entry("meter", key("meter").public, NOW, gateway=GATEWAY, meter=METER)
    assert findings(audited(path, by=trusted(keys={"meter": late}))) == [(0, None, "validity")]
    stranger = key_entry("statement", key("stranger", ES256).public, VALID_FROM, gateway=GATEWAY)
    assert {f.step for f in audited(path, by=trusted(keys={"statement": stranger})).findings} == {"statement", "record"}
    nothing = gateway.write(receipts=[])
    assert findings(audited(path, nothing)) == [(1, None, "policy")]


def test_an_event_by_a_revoked_statement_key_is_found(gateway: Gateway) -> None:
    stolen = key("stolen", ES256)
    entry = key_entry("statement", stolen.public, VALID_FROM, gateway=GATEWAY)
    rows = gateway.usual()
    before = key("statement", ES256).public.kid
    keyed = gateway.event("keys", owner="gateway", key=stolen.public.kid, before=before)
    event = gateway.itself.add(Event("commissioning", {}), stolen)
    path = gateway.write([*rows, keyed, event])
    assert audited(path, by=trusted(extra=entry)).sound
    revoked = audited(path, by=trusted(extra=entry + f"revoked = {moment(T0 - 6100)}\n"))
    assert findings(revoked) == [(0, None, "validity")]
    assert "was revoked" in revoked.findings[0].detail


def test_a_reading_from_after_its_receipt(gateway: Gateway) -> None:
    rows = gateway.usual()
    entry = gateway.entry(rows)
    early = receipt_for(entry, iat=T0 - 7000)
    gateway.batch, gateway.prev = 0, None
    late = {f.step for f in audited(gateway.write(rows, [early])).findings}
    assert late == {"validity"}


def test_what_is_missing_at_the_ends_is_named(gateway: Gateway) -> None:
    paths = [gateway.write()]
    paths += [gateway.write([gateway.configuration("day"), *gateway.usual()]) for _ in range(8)]
    begin_ms, end_ms = T0 * 1000 - 6_000_000, gateway.clock.now_ms

    def ends(first: int, last: int, **wanted: object) -> list[tuple[int | None, str | None, str]]:
        return findings(audited(*paths[first:last], wanted=Wanted(GATEWAY, **wanted)))  # type: ignore[arg-type]

    assert ends(0, 9, from_ms=begin_ms, to_ms=end_ms) == []
    assert ends(0, 9, from_ms=begin_ms - 86_400_000) == []  # it began with batch 0
    assert ends(0, 9) == []
    assert ends(1, 9) == [(1, None, "chain")]  # no --from: from its first batch on
    assert ends(4, 9, from_ms=begin_ms) == [(4, None, "ends")]
    assert ends(4, 9, from_ms=begin_ms + 160_000 - 80_000) == []  # two periods and a minute
    assert ends(0, 6, from_ms=begin_ms, to_ms=end_ms) == [(5, None, "ends")]
    assert ends(0, 8, from_ms=begin_ms, to_ms=end_ms) == []
    assert findings(audited(paths[0], wanted=Wanted("another"))) == [(0, None, "statement")]


def test_findings_are_bounded_and_counted(gateway: Gateway) -> None:
    path = gateway.write(gateway.usual(60))
    result = audited(path, by=trust())
    assert (len(result.findings), result.findings_total) == (62, 62)
    result = audited(*[gateway.write(gateway.usual(60)) for _ in range(2)], by=trust())
    assert (len(result.findings), result.findings_total) == (MOST, 123)
    assert "  … and 23 more" in audit_in_words(result)


def test_what_ledgers_say_of_the_last_batch_is_compared(gateway: Gateway) -> None:
    paths = [gateway.write() for _ in range(4)]

    def compared(
        answer: tuple[int, bytes] | str | None, *, to_the_end: bool = True, offline_ok: bool = False
    ) -> tuple[list[str], list[str]]:
        result = audited(*paths[:3])
        compare_with_ledgers(result, {LEDGER: (answer,)}, to_the_end=to_the_end, offline_ok=offline_ok)
        return [f"{f.batch} {f.step} {f.detail}" for f in result.findings], result.notes

    ours = [batch.statement_id for batch in audited(*paths).batches]
    answer = f"ledger {LEDGER}: its last batch is 3, the files end with batch 2"
    assert compared((2, ours[2])) == ([], [])
    assert compared((3, ours[3])) == ([f"2 ends {answer}: give the files behind it too"], [])
    assert compared((3, ours[3]), to_the_end=False) == ([], [answer])
    assert "the gateway tells two stories" in compared((2, ours[1]))[0][0]
    assert "it has lost what it held" in compared((1, ours[1]))[0][0]
    assert "it holds no batch of this gateway" in compared(None)[0][0]
    assert compared("no address was given") == ([f"2 ends ledger {LEDGER}: no address was given"], [])
    assert compared("no address was given", offline_ok=True) == ([], [f"ledger {LEDGER}: no address was given"])


def test_a_ledger_that_never_had_a_batch_is_noted(gateway: Gateway) -> None:
    result = audited(gateway.write())
    compare_with_ledgers(result, {"another": (None,)}, to_the_end=True, offline_ok=False)
    assert (findings(result), result.as_json()["asked"]) == ([], {"another": None})
    assert result.notes == ["ledger another: it holds no batch of this gateway, the files end with batch 0"]


def test_the_command(gateway: Gateway, tmp_path: Path) -> None:
    path, file = gateway.write(), tmp_path / "trust.toml"
    other = key_entry("meter", key(OTHER).public, VALID_FROM, gateway=GATEWAY, meter=OTHER)
    file.write_text(trust_text())
    done = ledger_command("audit", path, "--trust", file, "--json")
    assert (done.code, done.facts["findings_total"]) == (1, 5)
    file.write_text(trust_text(extra=other))
    assert ledger_command("audit", path, "--trust", file).code == 0
    done = ledger_command("audit", path, "--trust", file, "--online")
    assert (done.code, "no address was given, as --ledger demo-ledger=URL" in done.out) == (1, True)
    assert ledger_command("audit", path, "--trust", file, "--online", "--offline-ok").code == 0
    done = ledger_command(
        "audit", path, "--trust", file, "--from", "2026-11-18T09:00:00Z", "--to", "2026-11-19T00:00:00Z"
    )
    assert (done.code, "is not all that there is: the audit is to end at" in done.out) == (1, True)
    for option in (("--from", "yesterday"), ("--ledger", f"{LEDGER}=http://127.0.0.1:1")):
        assert ledger_command("audit", path, "--trust", file, *option).code == 2
    proof = ledger_command("prove", path, METER, "-o", tmp_path / "x.mseal")
    assert proof.code == 0, proof.err
    assert ledger_command("verify", tmp_path / "x.mseal", "--trust", file).code == 0
    done = ledger_command("verify", path, "--trust", file, "--json")
    assert (done.code, done.out) == (2, "")
    assert f"{path}: is a whole batch" in done.err
    assert f"meterseal-ledger audit {path} --trust {file}" in done.err
    for wrong in (("audit", tmp_path / "none", "--trust", file), ("prove", path, "nobody", "-o", tmp_path / "y")):
        done = ledger_command(*wrong)
        assert (done.code, "Traceback" in done.err) == (2, False)
