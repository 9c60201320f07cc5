"""The commands of issuers, holders and auditors, against a registry that runs."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ledger_client.certificates.holding.sending import kept, sending
from ledger_client.claims.claim import Issue, Retire
from ledger_client.enrolment.party_folder import load
from ledger_client.errors import Refused
from ledger_client.formats.cose_key import base64url
from ledger_client.ledgers.http_registry import HttpRegistry
from ledger_client.times import rfc3339
from ledger_client.verification.trust_file import load_trust
from tests.support.accounted import QUARTER_MS
from tests.support.certificates.certified import REGISTRY
from tests.support.certificates.market import Market, market
from tests.support.commands import ledger_command

PERIOD = ["--period", "2026-10-01T00:00:00Z/2026-11-01T00:00:00Z"]
USE = ["--purpose", "RE100", *PERIOD]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("town")) as made:
        yield made


def moment(time_ms: int) -> str:
    return rfc3339(time_ms // 1000)


def states(answer: object) -> list[str]:
    return [hour["state"] for hour in answer.facts["hours"]]  # type: ignore[attr-defined]


def rules(answer: object) -> list[list[str]]:
    return [[why["rule"] for why in hour["why"]] for hour in answer.facts["hours"]]  # type: ignore[attr-defined]


def test_hours_are_issued_once_and_a_second_run_finds_them(town: Market) -> None:
    site = town.station()
    site.hour(site.node)
    judged = town.issue(site, "--dry-run")
    assert (judged.code, states(judged)) == (0, ["could be issued"] * 4)
    first = town.issue(site)
    assert (first.code, first.facts["issued"], states(first)) == (0, 4, ["issued"] * 4)
    again = town.issue(site)
    assert (again.code, again.facts["issued"], states(again)) == (0, 0, ["issued already"] * 4)
    certs = [hour["certificate"] for hour in first.facts["hours"]]
    assert certs == [hour["certificate"] for hour in again.facts["hours"]]
    assert [town.slices(cert) for cert in certs] == [[(0, 90_000, "held", "works")]] * 4
    listed = ledger_command("certificate", "list", "--device", site.device, *town.there, "--json").facts
    assert [one["certificate"] for one in listed["certificates"]] == certs


def test_an_hour_is_certified_once_whoever_issues_and_to_whom(town: Market) -> None:
    site = town.station()
    site.hour(site.node)
    assert town.issue(site).code == 0
    other = town.issue(site, by="issuer-2")
    assert (other.code, rules(other)) == (1, [["R2"]] * 4)
    assert "Origin taken" in other.facts["hours"][0]["why"][0]["problem"]
    assert town.issue(site, holder="mill").code == 1


def test_who_is_no_issuer_issues_nothing(town: Market) -> None:
    site = town.station()
    site.hour(site.node)
    done = town.issue(site, by="mill")
    assert (done.code, rules(done)) == (1, [["R2"]] * 4)
    assert "Not the issuer" in done.facts["hours"][0]["why"][0]["problem"]
    done = town.issue(site, holder="nobody")
    assert (done.code, rules(done)) == (1, [["R2"]] * 4)
    assert "nobody is no party" in done.facts["hours"][0]["why"][0]["problem"]


def test_what_was_asked_for_and_refused_is_a_no(town: Market) -> None:
    site = town.station()
    from_ms = site.begin(site.node)
    site.polls(96)
    site.polls(2, answered=False)
    site.polls(302)
    site.seal()
    site.stated(from_ms, 4, (0, 0))
    span = ["--from", moment(from_ms), "--to", moment(from_ms + 3 * QUARTER_MS)]
    judged = town.issue(site, *span, "--dry-run")
    assert (judged.code, states(judged)) == (1, ["refused", "refused", "could be issued"])
    done = town.issue(site, *span)
    assert (done.code, states(done), rules(done)) == (1, ["refused", "refused", "issued"], [["I3"], ["I3"], []])
    rest = town.issue(site, "--from", moment(from_ms + 3 * QUARTER_MS), "--to", moment(from_ms + 5 * QUARTER_MS))
    assert (rest.code, states(rest)) == (1, ["issued"])
    assert rest.facts["missing"] == [f"{moment(from_ms + 4 * QUARTER_MS)} to {moment(from_ms + 5 * QUARTER_MS)}"]
    assert town.issue(site).code == 0  # nothing was asked for by itself


def test_parts_go_from_hand_to_hand_and_are_used_once(town: Market) -> None:
    cert = town.certified()[0]
    done = town.run("transfer", f"{cert}:0-500", f"{cert[:12]}:1000-2000", "mill", by="works")
    assert done.code == 0, done
    assert [claim["deed"] for claim in done.facts["claims"]] == [
        f"transfer {cert}:0-500 to mill", f"transfer {cert}:1000-2000 to mill",
    ]  # fmt: skip
    used = town.run("retire", cert, *USE, "--for", "Bread Ltd", by="mill")
    assert used.code == 0, used
    assert town.slices(cert) == [
        (0, 500, "retired", "mill"), (500, 1000, "held", "works"), (1000, 2000, "retired", "mill"),
        (2000, 90_000, "held", "works"),
    ]  # fmt: skip
    gone = town.run("export", f"{cert}:2000-3000", "--to-registry", "north", "--reference", "N-17", by="works")
    assert gone.code == 0, gone
    assert (2000, 3000, "exported", "works") in town.slices(cert)
    facts = used.facts
    hashed = hashlib.sha256(bytes.fromhex(facts["salt"]) + b"Bread Ltd").hexdigest()
    assert hashed == facts["for"]
    opening = json.loads((town.folder / "mill" / "for" / f"{hashed}.json").read_text())
    assert (opening["salt"], opening["name"]) == (facts["salt"], "Bread Ltd")
    deeds = [signed.claim.deed for signed, receipts in kept(town.folder / "mill", REGISTRY) if receipts]
    assert [deed.beneficiary for deed in deeds if isinstance(deed, Retire) and deed.cert.hex() == cert] == [
        bytes.fromhex(hashed)
    ] * 2


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["transfer", "{cert}:500-90001", "mill"], 1, "Not this slice"),
        (["transfer", "{cert}:100-200", "mill"], 1, "Final"),
        (["transfer", "{cert}:299-400", "mill"], 1, "Not the holder"),
        (["transfer", "{cert}:0-10", "stranger"], 1, "Unknown party"),
        (["retire", "{cert}:90-110", *USE], 1, "Final"),
        (["transfer", "{cert}:5-5", "mill"], 2, "units 5 to 5 are none (R1)"),
        (["transfer", "{cert}:0", "mill"], 2, "neither CERT nor CERT:A-B (R1)"),
        (["transfer", "{short}", "mill"], 2, "less than 8 characters (C1)"),
        (["transfer", "ffffffffffff", "mill"], 2, "nothing that is held here begins so (C1)"),
        (["transfer", "{cert}:0-10", "{cert}:0-10", "mill"], 2, "is given twice (R1)"),
        (["transfer", "{cert}:0-10", "{cert}:9-20", "mill"], 2, "has units of"),
        (["transfer", "{cert}", "{cert}:0-10", "mill"], 2, "has units of"),
        (["retire", "{cert}:0-10", "--purpose", "x", "--period", "2026-10-01T00:00:00Z"], 2, "--period"),
        (["retire", "{cert}:0-10", "--purpose", "x" * 65, *PERIOD], 2, "not text of 1 to 64 characters"),
        (["withdraw", "{cert}", "--reason", "x"], 1, "Not the issuer"),
        (["withdraw", "{cert}:0-10", "--reason", "x"], 2, "withdrawn whole (R4)"),
    ],
)  # fmt: skip
def test_what_a_holder_may_not_do_is_refused_before_anything_is_sent(
    shared: tuple[Market, str], words: list[str], code: int, problem: str
) -> None:
    town, cert = shared
    before = town.slices(cert)
    name, *rest = [word.format(cert=cert, short=cert[:7]) for word in words]
    done = town.run(name, *rest, by="works")
    assert (done.code, problem in done.out + done.err) == (code, True), done
    assert town.slices(cert) == before


@pytest.fixture(scope="module")
def shared(town: Market) -> tuple[Market, str]:
    """A certificate of which units 100 to 200 are retired, and 300 to 400 are another's."""
    cert = town.certified()[1]
    assert town.run("retire", f"{cert}:100-200", *USE, by="works").code == 0
    assert town.run("transfer", f"{cert}:300-400", "mill", by="works").code == 0
    return town, cert


def test_an_issuer_withdraws_what_nobody_has_moved_and_the_hour_is_free(town: Market) -> None:
    site = town.station()
    site.hour(site.node)
    certs = [hour["certificate"] for hour in town.issue(site).facts["hours"]]
    assert town.run("transfer", certs[0], "mill", by="works").code == 0
    moved = town.run("withdraw", certs[0], "--reason", "restated", by="issuer-1")
    assert (moved.code, moved.facts["refused"][0]["title"]) == (1, "Not the holder")
    assert town.run("withdraw", certs[1], "--reason", "restated", by="issuer-2").code == 1
    done = town.run("withdraw", certs[1][:10], "--reason", "restated", by="issuer-1")
    assert done.code == 0, done
    assert town.slices(certs[1]) == [(0, 90_000, "withdrawn", "works")]
    again = town.issue(site)
    assert (states(again)[1], rules(again)[1]) == ("refused", ["R2"])  # its id is never issued again
    assert "was withdrawn" in again.facts["hours"][1]["why"][0]["problem"]
    other = town.issue(site, holder="mill")
    assert states(other) == ["refused", "issued", "refused", "refused"]


def test_a_verifier_attests_and_nobody_else(town: Market, tmp_path: Path) -> None:
    site = town.station()
    site.hour(site.node)
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF")
    words = [site.period.hex(), "--level", "limited", "--verdict", "unmodified", "--report", report]
    done = town.run("attest", *words, by="auditor")
    assert (done.code, done.facts["period"]) == (0, site.period.hex()), done
    other_word = town.run("attest", *words[:4], "positive", *words[5:], by="auditor")
    assert (other_word.code, "'unmodified', 'modified', 'adverse'" in other_word.err) == (2, True), other_word
    refused = town.run("attest", *words, by="works")
    assert (refused.code, refused.facts["refused"][0]["title"]) == (1, "Unknown party")


def test_what_the_trust_file_must_hold_is_said(town: Market, tmp_path: Path) -> None:
    cert = town.certified()[0]
    poor = tmp_path / "trust.toml"
    poor.write_text(town.trust.read_text().replace(f'ledger = "{REGISTRY}"', 'ledger = "another"'))
    options = ["--key", town.folder / "works", *town.there, "--trust", poor]
    done = ledger_command("certificate", "transfer", cert, "mill", *options)
    assert (done.code, "has no key of the registry reg" in done.err) == (2, True), done
    nobody = ledger_command("certificate", "transfer", cert, "mill", *town.at("nowhere"))
    assert (nobody.code, "no party here" in nobody.err) == (2, True), nobody
    lost = ledger_command("certificate", "issue", "x.mrows", "y", "--trust", town.trust, "--node", "n", "--holder", "h")
    assert (lost.code, "--key and --registry are needed" in lost.err) == (2, True), lost


def test_a_registry_that_is_another_takes_no_claim(town: Market, tmp_path: Path) -> None:
    cert = town.certified()[0]
    trust = tmp_path / "trust.toml"
    trust.write_text(town.trust.read_text().replace(f'ledger = "{REGISTRY}"', 'ledger = "other"'))
    options = ["--key", town.folder / "works", "--registry", f"other={town.ledger.url}", "--trust", trust]
    done = ledger_command("certificate", "transfer", cert, "mill", *options, "--json")
    assert (done.code, done.facts["refused"][0]["rule"]) == (1, "P8"), done
    assert done.facts["refused"][0]["detail"] == "it is for the registry other, this is reg"
    assert town.slices(cert) == [(0, 90_000, "held", "works")]


def test_a_log_that_is_sound_is_replayed_from_its_file_and_over_http(town: Market, tmp_path: Path) -> None:
    cert = town.certified()[0]
    assert town.run("transfer", f"{cert}:0-7", "mill", by="works").code == 0
    copy = tmp_path / "copy.db"
    assert ledger_command("backup", town.ledger.folder, "-o", copy).code == 0
    answers = [
        ledger_command("certificate", "audit", log, "--trust", town.trust, "--json")
        for log in (copy, town.ledger.folder / "log.db", town.ledger.url)
    ]
    assert [answer.code for answer in answers] == [0, 0, 0], answers
    facts = [answer.facts for answer in answers]
    assert facts[0] == facts[1] == facts[2]
    assert facts[0]["sound"]
    assert facts[0]["claims"] > 0
    assert sum(facts[0]["units"].values()) == 90_000 * facts[0]["certificates"]
    printed = ledger_command("certificate", "audit", copy, "--trust", town.trust).out
    assert printed.startswith("SOUND: registry reg: ")


def test_more_than_the_newest_statement_gives_is_named_until_it_is_made_up_for(town: Market) -> None:
    site = town.station()
    certs = town.certified(site)

    def audited() -> tuple[int, list[dict[str, object]]]:
        words = ["--trust", town.trust, "--batches", site.folder, "--json"]
        answer = ledger_command("certificate", "audit", town.ledger.url, *words)
        return answer.code, answer.facts["over_issued"]

    assert audited() == (0, [])
    begins = site.hour_ms
    site.restate(begins, closed_ms=begins + 2 * QUARTER_MS)
    code, (month,) = audited()
    assert (code, month["device"], month["units"]) == (1, site.device, 180_000)
    assert month["certificates"] == [{"id": cert, "units": 90_000} for cert in certs[2:]]
    assert town.run("withdraw", certs[2], "--reason", "restated", by="issuer-1").code == 0
    assert [one["units"] for one in audited()[1]] == [90_000]
    done = town.run("retire", f"{certs[0]}:0-90000", "--purpose", "over-issued", *PERIOD, by="works")
    assert done.code == 0, done
    assert audited() == (0, [])


def test_an_hour_is_issued_whole_or_by_quarters_whatever_node_and_plan_bear_it(town: Market) -> None:
    by_quarters, whole = town.twins()
    assert town.issue(by_quarters).facts["issued"] == 4
    done = town.issue(whole)
    assert (done.code, rules(done)) == (1, [["R2"]])
    assert "has certificate" in done.facts["hours"][0]["why"][0]["problem"]
    by_quarters, whole = town.twins()
    issued = town.issue(whole)
    assert [hour["units"] for hour in issued.facts["hours"] if hour["state"] == "issued"] == [360_000]
    done = town.issue(by_quarters)
    assert (done.code, rules(done)) == (1, [["R2"]] * 4)


def test_a_revoked_key_claims_and_receives_nothing(town: Market) -> None:
    cert = town.certified()[0]
    folder = town.folder / "leaver"
    assert ledger_command("party", "new", "leaver", "-o", folder).code == 0
    assert ledger_command("enroll", town.ledger.folder, folder / "leaver.enrol", "--yes").code == 0
    assert town.run("transfer", f"{cert}:0-10", "leaver", by="works").code == 0
    assert ledger_command("revoke", town.ledger.folder, "party/leaver", "--reason", "left").code == 0
    for words, by in (
        (["transfer", f"{cert}:0-5", "works"], "leaver"),
        (["transfer", f"{cert}:20-30", "leaver"], "works"),
    ):
        done = town.run(*words, by=by)
        assert (done.code, done.facts["refused"][0]["title"]) == (1, "Unknown party"), done


def test_a_party_lists_what_it_holds(town: Market) -> None:
    cert = town.certified()[0]
    assert town.run("transfer", f"{cert}:0-10", "mill", by="works").code == 0
    for options in (["--key", town.folder / "mill"], ["--holder", "mill"]):
        printed = ledger_command("certificate", "list", *options, *town.there).out
        assert f"{cert}  " in printed
        assert "    0-10  held  mill\n" in printed
    for name in (base64url(bytes.fromhex(cert)), base64url(bytes.fromhex(cert))[:12]):
        if not name.startswith("-"):  # an option to a command line
            assert ledger_command("certificate", "show", name, "--key", town.folder / "mill", *town.there).code == 0
    shown = ledger_command("certificate", "show", cert[:20], "--key", town.folder / "mill", *town.there).out
    assert "of issuer-1: issue 90000 Wh of" in shown
    assert f"of works: transfer {cert}:0-10 to mill" in shown
    unknown = ledger_command("certificate", "show", "0" * 64, *town.there)
    assert (unknown.code, unknown.out) == (1, f"registry reg has no certificate {'0' * 64}\n")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["list"], "nothing says whose certificates"),
        (["list", "--holder", "mill", "--device", "x"], "are two lists"),
        (["list", "--holder", "mill", "--from", "2026-10-01T00:00:00Z"], "have no effect without --device"),
    ],
)
def test_a_list_of_nobody_is_refused(town: Market, words: list[str], problem: str) -> None:
    done = ledger_command("certificate", *words, *town.there)
    assert (done.code, problem in done.err) == (2, True), done


def test_a_log_that_was_changed_is_named_entry_by_entry(town: Market, tmp_path: Path) -> None:
    town.certified()
    copy = tmp_path / "copy.db"
    assert ledger_command("backup", town.ledger.folder, "-o", copy).code == 0

    def audited() -> list[tuple[int, str]]:
        done = ledger_command("certificate", "audit", copy, "--trust", town.trust, "--json")
        faults = done.facts["faults"]
        assert done.code == (1 if faults else 0)
        return [(fault["entry"], fault["title"]) for fault in faults]

    assert audited() == []
    with closing(sqlite3.connect(copy)) as log:
        for (name,) in log.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            log.execute(f"DROP TRIGGER {name}")  # it is append-only for honest programs
        (first, receipt, _), (second, _, other) = log.execute(
            "SELECT number, receipt, entry FROM entries ORDER BY number DESC LIMIT 2"
        ).fetchall()
        log.execute("UPDATE entries SET receipt = ? WHERE number = ?", (receipt, second))
        log.commit()
        assert audited() == [(second, "Bad receipt")]
        log.execute("UPDATE entries SET entry = ? WHERE number = ?", (other[:-1] + bytes([other[-1] ^ 1]), second))
        log.commit()
    found = audited()
    assert (second, "Unsound entry") in found
    assert (first, "Out of order") in found  # its party's claim before is none


def test_a_log_that_is_none_is_refused(town: Market, tmp_path: Path) -> None:
    done = ledger_command("certificate", "audit", tmp_path / "no.db", "--trust", town.trust)
    assert (done.code, "no such file" in done.err) == (2, True), done
    (tmp_path / "no.db").write_bytes(b"no log" * 1000)
    assert ledger_command("certificate", "audit", tmp_path / "no.db", "--trust", town.trust).code == 2
    words = ["--trust", town.trust, "--batches", tmp_path]
    done = ledger_command("certificate", "audit", town.ledger.url, *words)
    assert (done.code, "holds no .mbatch" in done.err) == (2, True), done


def test_the_same_device_under_a_second_gateway_or_a_renamed_node_is_taken(town: Market) -> None:
    site = town.station()
    site.hour(site.node)
    assert town.issue(site).code == 0
    deed = [signed.claim.deed for signed, _ in kept(town.folder / "issuer-1", REGISTRY)][-1]
    assert isinstance(deed, Issue)
    assert deed.origin.device == site.device
    trust, issuer = load_trust(town.trust), load(town.folder / "issuer-1")
    for origin in (replace(deed.origin, gateway="another"), replace(deed.origin, node="renamed")):
        with (
            closing(HttpRegistry(REGISTRY, town.ledger.url)) as registry,
            sending(issuer, registry, trust, lambda: int(time.time())) as sender,
            pytest.raises(Refused, match="Origin taken"),
        ):
            sender.send(replace(deed, origin=origin, row=bytes(32)))
    assert not list((town.folder / "issuer-1" / "outbox" / REGISTRY).iterdir())


def test_the_claim_before_is_not_claimed_again(town: Market) -> None:
    cert = town.certified()[0]
    words = ["retire", f"{cert}:0-10", *USE, "--for", "Bread Ltd"]
    assert len(town.run(*words, by="works").facts["claims"]) == 1
    again = town.run(*words, by="works")
    assert (again.code, again.facts["claims"], len(again.facts["before"])) == (0, [], 1)
    other = town.run("retire", f"{cert}:0-10", "--purpose", "another", *PERIOD, by="works")
    assert (other.code, other.facts["refused"][0]["title"]) == (1, "Final")
