"""``verify --online`` of a receipt: its ledger's log has only grown, was rewritten, or cannot be asked."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger_client.cli.app import cli
from ledger_client.errors import Forked, Inconsistent, LedgerUnavailable, NotAsked, NotIncluded
from ledger_client.formats import cbor, cose
from ledger_client.formats.consistency import sign_consistency
from ledger_client.formats.cose_key import ES256, load_private_key
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.statement import id_text, statement_id
from ledger_client.ledgers.http import HttpLedger
from ledger_client.online.ask import last_batches, refresh
from ledger_client.online.log_client import LogClient
from ledger_client.online.log_proof import confirm
from ledger_client.transparency.ledger.rotate import rotate
from ledger_client.transparency.ledger.show import trust_entry
from ledger_client.transparency.ledger.view import LogView
from ledger_client.verification.online_facts import Held, LogFact, OnlineFacts
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import Verified, verify
from tests.contract.memory import NearLog
from tests.interop.foreign_scitt import ForeignScitt, serving
from tests.support import evidence
from tests.support.brokers.pki import Authority
from tests.support.enrolled import Gateway
from tests.support.evidence import GATEWAY, LEDGER
from tests.support.ledger_site import Place
from tests.support.processes import embedded_ledger, free_port

ENTRY = evidence.Site().entry()


@dataclass(frozen=True)
class Two:
    """A ledger that gave a receipt, and a copy of its folder from before that, to be filled with something else."""

    true: Place
    false: Place
    other: Gateway
    receipt: bytes = b""

    def give(self, place: Place, *entries: bytes) -> bytes:
        """Put entries into a log; the last one's receipt."""
        receipt = b""
        log = NearLog(place.folder)
        for entry in entries:
            _, receipt = log.service.submit(entry)
        log.end()
        return receipt

    def trust(self, place: Place | None = None, more: str = "", ledgers: tuple[str, ...] = (LEDGER,)) -> Trust:
        return evidence.trust(ledgers=ledgers, keys={LEDGER: trust_entry((place or self.true).folder) + more})

    def bundle(self, *more: bytes) -> bytes:
        return evidence.Site(receipts=(self.receipt, *more)).build()

    def confirm(
        self, place: Place, log: type[LogView] = LogView, *, late_s: int = 0, trust: Trust | None = None
    ) -> LogFact:
        """Ask a log in its folder, at a time of ``late_s`` after now."""
        near = NearLog(place.folder)
        try:
            view = log(near._dir, lambda: time.time() + late_s)
            return confirm(ENTRY, parse_receipt(self.receipt), trust or self.trust(), view)
        finally:
            near.end()


@pytest.fixture
def two(tmp_path: Path) -> Two:
    folder = tmp_path / "true"
    NearLog(folder).end()
    true, other = Place(folder, LEDGER, tmp_path), Gateway("another")
    gateway = Gateway(GATEWAY)
    gateway.key = evidence.key("statement", ES256)
    true.enroll(gateway)
    true.enroll(other)
    shutil.copytree(folder, tmp_path / "false")
    both = Two(true, Place(tmp_path / "false", LEDGER, tmp_path), other)
    return replace(both, receipt=both.give(true, other.statement(0), ENTRY))


def ask(
    two: Two, url: str, trust: Trust | None = None, bundle: bytes = b"", *, offline_ok: bool = False, **more: str
) -> Verified:
    trust, bundle = trust or two.trust(), bundle or two.bundle()
    facts = refresh(bundle, trust, {}, {LEDGER: url, **more}, timeout_s=5.0, offline_ok=offline_ok)
    return verify(bundle, trust, int(time.time()), facts=facts)


def test_a_log_that_has_only_grown_still_has_it(two: Two) -> None:
    with embedded_ledger(two.true.folder, LEDGER) as ledger, closing(HttpLedger(LEDGER, ledger.url)) as driver:
        plain = verify(two.bundle(), two.trust(), int(time.time()))
        assert (plain.in_log, plain.unconfirmed) == ({}, ())
        for entries in (5, 6, 7):  # the first time the head is of the receipt's own size
            if entries > 5:
                driver.submit(two.other.statement(entries - 5))
            proven = ask(two, ledger.url)
            ((name, log),) = proven.in_log.items()
            assert (name, log.entries) == (LEDGER, entries)
            assert proven.asked == (LEDGER,)
            assert replace(proven, in_log={}, asked=()) == plain


def test_a_log_that_was_rewritten_is_refused_by_name(two: Two) -> None:
    two.give(two.false, *(two.other.statement(batch) for batch in range(3)))
    with embedded_ledger(two.false.folder, LEDGER) as ledger:
        with pytest.raises(Inconsistent, match="does not begin with that of the receipt, 5: the log was rewritten"):
            ask(two, ledger.url)
        backup = evidence.receipt_for(ENTRY, "backup-ledger")
        trust = two.trust(ledgers=(LEDGER, "backup-ledger"))
        proven = ask(two, ledger.url, trust, two.bundle(backup), offline_ok=True)
    assert [ledger for ledger, _ in proven.receipts] == ["backup-ledger"]
    assert "the log was rewritten" in proven.unconfirmed[0]
    assert "backup-ledger: its log was not asked" in proven.unconfirmed[1]


def test_a_log_of_the_same_size_with_other_entries(two: Two) -> None:
    two.give(two.false, two.other.statement(0), two.other.statement(1))
    with pytest.raises(Inconsistent, match="is another one than that of the receipt, 5"):
        two.confirm(two.false)


def test_a_log_that_was_set_back(two: Two) -> None:
    with pytest.raises(Inconsistent, match=r"of 3 entries at .* is smaller than that of the receipt, 5"):
        two.confirm(two.false, late_s=60)
    with pytest.raises(LedgerUnavailable, match="not later than the receipt"):  # an old head proves nothing
        two.confirm(two.false, late_s=-60)


class OtherEntry(LogView):
    def entries(self, first: int, limit: int) -> list[tuple[int, bytes]]:
        return [(first, ENTRY + b"\0")]


class NoEntry(LogView):
    def entries(self, first: int, limit: int) -> list[tuple[int, bytes]]:
        return []


class OtherPath(LogView):
    def consistency(self, first: int, second: int) -> bytes | None:
        signer = load_private_key(self._folder.path / "key.pem")
        return sign_consistency(LEDGER, int(time.time()), first, second, [bytes(32)] * 3, bytes(32), signer)


class OtherSizes(LogView):
    def consistency(self, first: int, second: int) -> bytes | None:
        return super().consistency(first - 1, second)


class NoPath(LogView):
    def consistency(self, first: int, second: int) -> bytes | None:
        return None


class Junk(LogView):
    def consistency(self, first: int, second: int) -> bytes | None:
        return b"junk"


class NoHead(LogView):
    def head(self) -> bytes:
        return b"junk"


@pytest.mark.parametrize(
    ("log", "error", "problem"),
    [
        (OtherEntry, NotIncluded, "entry 4 of its log is not this statement"),
        (NoEntry, LedgerUnavailable, "does not show entry 4"),
        (OtherPath, Inconsistent, "the log was rewritten"),
        (OtherSizes, LedgerUnavailable, "its proof is from 4 entries to 6"),
        (NoPath, LedgerUnavailable, "no proof from 5 entries to 6"),
        (Junk, LedgerUnavailable, "its proof of consistency is none"),
        (NoHead, LedgerUnavailable, "its head is none"),
    ],
)
def test_what_a_log_may_answer(two: Two, log: type[LogView], error: type[Exception], problem: str) -> None:
    two.give(two.true, two.other.statement(1))
    with pytest.raises(error, match=problem):
        two.confirm(two.true, log)


def test_whose_head_it_is(two: Two) -> None:
    rotate(two.true.folder)
    before = two.trust(two.false)
    with pytest.raises(LedgerUnavailable, match="which the trust file does not have"):
        two.confirm(two.true, trust=before)
    assert two.confirm(two.true).entries == 6
    revoked = two.trust(more='revoked = 2026-01-01T00:00:00Z\nrevoked_reason = "stolen"\n')
    with pytest.raises(LedgerUnavailable, match=r"was revoked \(stolen\)"):
        two.confirm(two.true, trust=revoked)


def test_a_head_of_the_future(two: Two) -> None:
    facts = OnlineFacts(logs={two.receipt: LogFact(9, int(time.time()) + 1000)})
    proven = verify(two.bundle(), two.trust(), int(time.time()), facts=facts)
    assert proven.in_log == {}
    assert "in the future" in proven.unconfirmed[0]


def test_what_cannot_be_asked_is_listed_and_the_receipt_counts(two: Two, tmp_path: Path) -> None:
    unconfirmed: list[str] = []
    with embedded_ledger(tmp_path / "elsewhere", "elsewhere") as elsewhere, serving(ForeignScitt()) as foreign:
        for url in (f"http://127.0.0.1:{free_port()}", elsewhere.url, foreign.url):
            proven = ask(two, url, offline_ok=True)
            with pytest.raises(NotAsked, match=rf"{LEDGER}: it could not be asked: "):
                ask(two, url)
            assert (proven.in_log, len(proven.unconfirmed)) == ({}, 1)
            unconfirmed += proven.unconfirmed
    assert all(line.startswith(f"{LEDGER}: its log could not be asked: ") for line in unconfirmed)
    assert "what answers is the ledger elsewhere" in unconfirmed[1]
    assert "not every ledger shows its log" in unconfirmed[2]


def second(tmp_path: Path, gateway: Gateway | None = None) -> Place:
    """Another ledger, which lets the same gateway in."""
    NearLog(tmp_path / "second", "second").end()
    place = Place(tmp_path / "second", "second", tmp_path)
    if gateway is None:
        gateway = Gateway(GATEWAY)
        gateway.key = evidence.key("statement", ES256)
    place.enroll(gateway)
    return place


def both(two: Two, place: Place, *more: str) -> Trust:
    """A policy that lists the two."""
    keys = {LEDGER: trust_entry(two.true.folder), "second": trust_entry(place.folder)}
    return evidence.trust(ledgers=(LEDGER, "second", *more), keys=keys)


def told_otherwise(**changes: object) -> bytes:
    """Batch 0 of the same gateway with another history, by the same key."""
    site = evidence.Site()
    return replace(site, statement=replace(evidence.statement_of(site.batch), **changes)).entry()  # type: ignore[arg-type]


def test_another_statement_of_the_number_on_any_ledger_of_the_policy_is_a_fork_by_name(
    two: Two, tmp_path: Path
) -> None:
    place = second(tmp_path)
    trust = both(two, place)
    with embedded_ledger(two.true.folder, LEDGER) as first, embedded_ledger(place.folder, "second") as other:
        assert ask(two, first.url, trust, second=other.url).asked == (
            LEDGER,
            "second",
        )  # it has nothing of this gateway
        with closing(HttpLedger("second", other.url)) as driver:
            driver.submit(lie := told_otherwise(iat=evidence.T0 + 3))
        for offline_ok in (False, True):
            with pytest.raises(Forked, match=f"but second has {id_text(statement_id(lie))}$") as caught:
                ask(two, first.url, trust, offline_ok=offline_ok, second=other.url)
        assert caught.value.step == 6
        assert ask(two, first.url, second=other.url).asked == (LEDGER,)  # the policy alone says who is asked


def test_the_same_statement_on_every_ledger_is_no_fork(two: Two, tmp_path: Path) -> None:
    place = second(tmp_path)
    trust = both(two, place)
    with embedded_ledger(two.true.folder, LEDGER) as first, embedded_ledger(place.folder, "second") as other:
        with closing(HttpLedger("second", other.url)) as driver:
            driver.submit(ENTRY)
        assert ask(two, first.url, trust, second=other.url).asked == (LEDGER, "second")


def test_a_ledger_that_begins_behind_the_number_is_told_of(two: Two, tmp_path: Path) -> None:
    """The same records could stand there in a batch of another number, which cannot be asked for."""
    place = second(tmp_path)
    with embedded_ledger(two.true.folder, LEDGER) as first, embedded_ledger(place.folder, "second") as other:
        assert ask(two, first.url, both(two, place), second=other.url).unconfirmed[-1] == (
            f"second: has no batch 0 of {GATEWAY}; none at all"
        )
        with closing(HttpLedger("second", other.url)) as driver:
            driver.submit(told_otherwise(batch=3, prev=bytes(32)))
        proven = ask(two, first.url, both(two, place), second=other.url)
    assert proven.unconfirmed == (f"second: has no batch 0 of {GATEWAY}; its last is 3",)


def test_a_fork_by_a_key_that_the_trust_file_does_not_have_says_so(two: Two, tmp_path: Path) -> None:
    place = second(tmp_path, gateway := Gateway(GATEWAY))
    with embedded_ledger(two.true.folder, LEDGER) as first, embedded_ledger(place.folder, "second") as other:
        with closing(HttpLedger("second", other.url)) as driver:
            driver.submit(gateway.statement(0))
        with pytest.raises(Forked, match="which is not in the trust file"):
            ask(two, first.url, both(two, place), second=other.url)


def test_a_ledger_of_the_policy_without_an_address_is_not_asked(two: Two) -> None:
    trust = two.trust(ledgers=(LEDGER, "second"))
    with embedded_ledger(two.true.folder, LEDGER) as first:
        with pytest.raises(NotAsked, match="second: it was not asked, no address was given, as --ledger second=URL"):
            ask(two, first.url, trust)
        assert ask(two, first.url, trust, offline_ok=True).asked == (LEDGER,)


def test_what_an_embedded_ledger_may_show_under_a_number(two: Two) -> None:
    """Bytes that no key signed are no statement: whoever stands in between cannot make a fork out of nothing."""
    forged = replace(cose.Sign1.parse(told_otherwise(iat=evidence.T0 + 3)), signature=bytes(63) + b"\1").encode()
    another = told_otherwise(batch=1, prev=bytes(32))
    ours = Held(GATEWAY, 0, statement_id(ENTRY), evidence.key("statement", ES256).public.kid)
    with embedded_ledger(two.true.folder, LEDGER) as ledger, closing(LogClient(ledger.url)) as log:
        head = log.head()
    for shown, expected in (
        ([forged], "does not hold"),
        ([Gateway(GATEWAY).statement(0)], "it gives no receipt for "),
        ([another], Held(GATEWAY, 0, None)), ([b"junk"], "invalid statement"),
        ("junk", "not a list"), ([ENTRY, ENTRY], ours), ([], Held(GATEWAY, 0, None)),
    ):  # fmt: skip
        pages = {"/log/head": head, f"/gateways/{GATEWAY}/last": cbor.encode(None)}
        with answering({f"/gateways/{GATEWAY}/statements": cbor.encode(shown), **pages}) as url:
            facts = refresh(two.bundle(), two.trust(), {}, {LEDGER: url})
        ((fact,),) = facts.held.values()
        assert fact == expected or (isinstance(expected, str) and expected in str(fact))


def test_an_empty_ledger_at_a_wrong_address_is_not_the_ledger_that_was_asked(two: Two, tmp_path: Path) -> None:
    trust = two.trust(ledgers=(LEDGER, "second"))
    with embedded_ledger(two.true.folder, LEDGER) as first, embedded_ledger(tmp_path / "empty", "second") as empty:
        facts = refresh(two.bundle(), trust, {}, {LEDGER: first.url, "second": empty.url})
    with pytest.raises(NotAsked, match="second: it could not be asked: its head is by key"):
        verify(two.bundle(), trust, int(time.time()), facts=facts)


def test_the_last_batch_of_a_gateway_at_each_ledger(two: Two, tmp_path: Path) -> None:
    place = second(tmp_path)
    trust = both(two, place, "third")
    with embedded_ledger(two.true.folder, LEDGER) as first, embedded_ledger(place.folder, "second") as other:
        lasts = last_batches(GATEWAY, trust, {}, {LEDGER: first.url, "second": other.url})
    assert lasts[LEDGER] == ((0, statement_id(ENTRY)),)
    assert lasts["second"] == (None,)
    assert "no address was given" in str(lasts["third"][0])


@contextmanager
def answering(pages: dict[str, bytes]) -> Iterator[str]:
    """A server that gives the same bytes to whoever asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path.partition("?")[0], b"")
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/cose" if self.path == "/log/head" else "application/cbor")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_on_the_command_line_over_tls(two: Two, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    pair = authority.issue("ledger")
    (tmp_path / "r.mseal").write_bytes(two.bundle())
    own_key = trust_entry(two.true.folder)
    (tmp_path / "trust.toml").write_text(evidence.trust_text(keys={LEDGER: own_key}))
    usual = ["verify", str(tmp_path / "r.mseal"), "--trust", str(tmp_path / "trust.toml")]
    run = CliRunner().invoke
    tls = ("--cert", str(pair.cert), "--key", str(pair.key))
    with embedded_ledger(two.true.folder, LEDGER, options=tls) as ledger:
        way = ["--online", "--ledger", f"{LEDGER}={ledger.url}"]
        answer = json.loads(run(cli, [*usual, *way, "--ca", str(authority.ca), "--json"]).output)
        words = run(cli, [*usual, *way, "--ca", str(authority.ca)]).output
        stranger = json.loads(run(cli, [*usual, *way, "--offline-ok", "--json"]).output)
        refused = run(cli, [*usual, *way, "--json"])
    (receipt,) = answer["receipts"]
    assert (answer["verified"], receipt["ledger"], receipt["log"]["entries"]) == (True, LEDGER, 5)
    assert re.search(rf"still there +{LEDGER}, in the log of 5 entries at 20\d\d-", words)
    assert re.search(rf"no other +batch 0 on {LEDGER}\n", words)
    assert (refused.exit_code, json.loads(refused.output)["error"]) == (1, "NotAsked")
    assert (stranger["verified"], list(stranger["receipts"][0])) == (True, ["ledger", "time"])
    assert "not trusted" in stranger["unconfirmed"][0]
    two.give(two.false, *(two.other.statement(batch) for batch in range(3)))
    with embedded_ledger(two.false.folder, LEDGER) as ledger:
        done = run(cli, [*usual, "--online", "--ledger", f"{LEDGER}={ledger.url}", "--json"])
        assert (done.exit_code, json.loads(done.output)["error"]) == (1, "Inconsistent")
        assert run(cli, usual).exit_code == 0
    for wrong in (["--ledger", "x=http://h"], ["--online", "--ledger", "x"], ["--online", "--ca", "nowhere.pem"]):
        assert re.search("--ledger|--ca:", str(run(cli, [*usual, *wrong]).exception))
