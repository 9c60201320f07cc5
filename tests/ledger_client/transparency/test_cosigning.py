"""A ledger and its witnesses: what it collects, what it serves, and a ledger of two logs, whose second head nobody
cosigns and `verify --online` names."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ledger_client.errors import Inconsistent, LedgerClientError, LedgerUnavailable, PolicyNotMet
from ledger_client.formats.bundle import Witnessed
from ledger_client.formats.cose_key import ES256, PrivateKey, save_private_key
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.notes import cosigned, demand_signed, parse_checkpoint, parse_note
from ledger_client.formats.statement import statement_id
from ledger_client.online.ask import refresh
from ledger_client.online.log_client import LogClient
from ledger_client.online.trust_from_log import made
from ledger_client.online.witnessed import fetch
from ledger_client.transparency.ledger.directory import RULES, open_dir
from ledger_client.transparency.ledger.show import facts, trust_entry
from ledger_client.transparency.ledger.view import LogView
from ledger_client.transparency.log.head_file import Head, HeadFile
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.policy.ledger_keys import sign_rules
from ledger_client.transparency.policy.policy_file import EMPTY_POLICY
from ledger_client.transparency.witness.cosigning import (
    AHEAD,
    COSIGNED,
    FORKED,
    REFUSED,
    SILENT,
    WRONG,
    Cosigner,
    Cosigning,
    cosigners_of,
)  # fmt: skip
from ledger_client.transparency.witness.request import SIZE_TYPE
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.verify import Verified, verify
from ledger_client.verification.witnesses import LogKey, Witness, entries_of
from tests.contract.memory import NearLog
from tests.support import evidence
from tests.support.enrolled import Gateway
from tests.support.evidence import GATEWAY, LEDGER, NOW
from tests.support.ledger_site import Place
from tests.support.processes import embedded_ledger, free_port
from tests.support.witnesses.heads import witness
from tests.support.witnesses.servers import WitnessServer, witness_server

ENTRY = evidence.Site().entry()
LATER = NOW + 10**9


@dataclass(frozen=True)
class Two:
    """Two folders of one ledger, the second one a copy of the first from before what is in both."""

    true: Path
    false: Path
    log: LogKey
    receipts: tuple[bytes, bytes]

    def view(self, folder: Path) -> LogView:
        return LogView(open_dir(folder, None))


def _give(folder: Path, *entries: bytes) -> bytes:
    log = NearLog(folder)
    receipts = [log.service.submit(entry)[1] for entry in entries]
    log.end()
    return receipts[-1]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    """In the second log the statement stands behind another gateway's three."""
    tmp_path = tmp_path_factory.mktemp("two")
    folder, other, gateway = tmp_path / "true", Gateway("another"), Gateway(GATEWAY)
    gateway.key = evidence.key("statement", ES256)
    NearLog(folder).end()
    place = Place(folder, LEDGER, tmp_path)
    place.enroll(gateway)
    place.enroll(other)
    shutil.copytree(folder, tmp_path / "false")
    receipts = _give(folder, ENTRY), _give(tmp_path / "false", *(other.statement(n) for n in range(3)), ENTRY)
    with closing(open_dir(folder, None)) as opened:
        return Two(folder, tmp_path / "false", LogKey(LEDGER, opened.vkey), receipts)


@pytest.fixture
def folders(two: Two, tmp_path: Path) -> Two:
    """Copies, for a test of its own."""
    copies = [shutil.copytree(folder, tmp_path / folder.name) for folder in (two.true, two.false)]
    return Two(copies[0], copies[1], two.log, two.receipts)


@pytest.fixture
def server(folders: Two, tmp_path: Path) -> Iterator[WitnessServer]:
    with witness_server(tmp_path / "w", {folders.log.vkey.name: folders.log.vkey}) as running:
        yield running


def trust(folders: Two, server: WitnessServer, n: int = 1) -> Trust:
    named = "".join(entries_of([folders.log], [Witness("w", server.vkey)]))
    return evidence.trust(keys={LEDGER: trust_entry(folders.true)}, policy=f"witnesses = {n}\n", extra=named)


def judged(folders: Two, server: WitnessServer, receipt: bytes, note: Witnessed, url: str = "") -> Verified:
    believed = trust(folders, server)
    bundle = evidence.Site(receipts=(receipt,)).build(witnessed=(note,))
    if not url:
        return verify(bundle, believed, LATER)
    facts = refresh(bundle, believed, {}, {LEDGER: url}, timeout_s=20.0, offline_ok=True)
    return verify(bundle, believed, LATER, facts=facts)


def test_the_second_of_two_heads_is_refused_by_the_witness_and_named_online(
    folders: Two, server: WitnessServer
) -> None:
    with embedded_ledger(folders.true, LEDGER, options=server.option) as ledger:
        ledger.wait_for("has cosigned the log of")
        with closing(LogClient(ledger.url, timeout_s=20.0)) as log:
            good = fetch(ENTRY, log, 1)
        proven = judged(folders, server, folders.receipts[0], good, ledger.url)
        assert [(head.ledger, len(head.witnesses)) for head in proven.witnessed] == [(LEDGER, 1)]
        assert proven.unconfirmed == ()
    with embedded_ledger(folders.false, LEDGER, options=server.option) as ledger:
        ledger.wait_for("forked")
        server.wait_for("refused")
        with closing(LogClient(ledger.url, timeout_s=20.0)) as log:
            with pytest.raises(LedgerUnavailable):
                fetch(ENTRY, log, 1)
            alone = fetch(ENTRY, log, 0)
        with pytest.raises(PolicyNotMet):  # the second log's receipt, and its head that nobody cosigned
            judged(folders, server, folders.receipts[1], alone)
        for receipt in folders.receipts:  # and the first log's cosigned head with either receipt
            with pytest.raises(Inconsistent if receipt == folders.receipts[0] else PolicyNotMet):
                judged(folders, server, receipt, good, ledger.url)
    assert judged(folders, server, folders.receipts[1], good).witnessed  # it is in the witnessed log, too


def test_a_ledger_without_witnesses_serves_its_head_and_places(folders: Two) -> None:
    with closing(open_dir(folders.true, None)) as opened:
        check_places(LogView(opened), statement_id(ENTRY), ENTRY)


def check_places(view: LogView, id_: bytes, entry: bytes) -> None:
    """The checkpoint is signed, and the entry stands under the root of each size that has it."""
    cosigning = Cosigning(view, [])
    note = parse_note(cosigning.note(None) or b"")
    demand_signed(note, view._folder.vkey)
    head = parse_checkpoint(note.text)
    assert (head.size, cosigning.note(0), cosigning.note(1)) == (view.size(), note.encode(), None)
    place = view.place(id_, head.size)
    assert place is not None
    assert root_from_path(leaf_hash(entry), *place) == head.root
    number = place[1]
    assert [view.place(id_, size) is None for size in (number, number + 1, head.size + 1)] == [True, False, True]
    assert view.place(bytes(32), head.size) is None


@pytest.fixture
def view(folders: Two) -> Iterator[LogView]:
    with closing(open_dir(folders.true, None)) as opened:
        yield LogView(opened)


def test_the_newest_note_is_kept_for_each_number_of_cosignatures(
    view: LogView, folders: Two, server: WitnessServer, tmp_path: Path
) -> None:
    with witness_server(tmp_path / "w2", {folders.log.vkey.name: folders.log.vkey}) as second:
        keys = [server.vkey, second.vkey]
        cosigning = Cosigning(view, [Cosigner(one.url, one.vkey) for one in (server, second)])
        cosigning.collect()
        cosigning.collect()
        both = parse_note(cosigning.note(2) or b"")
        assert [cosigned(both, key) is not None for key in keys] == [True, True]
        assert cosigning.note(None) == both.encode()
        second.kill()
        with view._folder.log.write() as log:
            log.append(b"an entry more", None)
        cosigning.collect()
        newest = parse_note(cosigning.note(1) or b"")
        assert parse_checkpoint(newest.text).size == parse_checkpoint(both.text).size + 1
        assert (cosigning.note(2), cosigning.note(3)) == (both.encode(), None)
        states = [(one.standing.state, one.standing.size) for one in cosigning.cosigners]
        assert states == [(COSIGNED, view.size()), (SILENT, view.size() - 1)]


class Odd:
    """A witness that gives fixed answers."""

    def __init__(self, *answers: tuple[int, bytes, str]) -> None:
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                status, body, kind = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


SIZE = (409, b"1\n", SIZE_TYPE)
ODD = {
    "ahead": (AHEAD, [(409, b"1000000\n", SIZE_TYPE)]),
    "forked": (FORKED, [SIZE, (422, b"no\n", "text/plain")]),
    "another size each time": (REFUSED, [SIZE, (409, b"2\n", SIZE_TYPE)]),
    "a 409 without a size": (WRONG, [(409, b"1\n", "text/plain")]),
    "a 409 of no number": (WRONG, [(409, b"-1\n", SIZE_TYPE)]),
    "unknown": (REFUSED, [(404, b"no\n", "text/plain")]),
    "no signature": (WRONG, [(200, b"", "text/plain")]),
    "no note": (WRONG, [(200, b"\xff\n", "text/plain")]),
    "somebody else's signature": (WRONG, [(200, "— x MTIzNDU=\n".encode(), "text/plain")]),
    "much": (SILENT, [(200, b"x" * 100_000, "text/plain")]),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_an_odd_witness_is_a_state_and_stops_nothing(view: LogView, what: str) -> None:
    state, answers = ODD[what]
    with closing(Odd(*answers)) as odd, closing(Cosigning(view, [Cosigner(odd.url, witness("w1").vkey)])) as cosigning:
        cosigning.collect()
        assert [one.standing.state for one in cosigning.cosigners] == [state]
        assert cosigning.note(1) is None
        assert parse_checkpoint(parse_note(cosigning.note(None) or b"").text).size == view.size()


def test_a_forged_cosignature_is_not_passed_on(view: LogView) -> None:
    head, note = view.checkpoint()
    from ledger_client.formats.notes import line_text
    from tests.support.witnesses.heads import cosignature

    of_another = cosignature(note.text.replace(f"\n{head.size}\n", f"\n{head.size + 1}\n"), "w1")
    for line in (of_another, cosignature(note.text, "w1")):
        with closing(Odd((200, line_text(line).encode(), "text/plain"))) as odd:
            cosigner = Cosigner(odd.url, witness("w1").vkey)
            found = cosigner.ask(head, note, view.extension)
            assert (found == line) == (line is not of_another)
            cosigner.close()


def test_a_silent_witness_is_a_state(view: LogView) -> None:
    cosigner = Cosigner(f"http://127.0.0.1:{free_port()}", witness("w1").vkey)
    assert (cosigner.ask(*view.checkpoint(), view.extension), cosigner.standing.state) == (None, SILENT)


@pytest.mark.parametrize("text", ["x", "ftp://x=y", "http://x", "http://x=y"])
def test_a_witness_that_cannot_be_asked_is_refused_at_the_start(two: Two, text: str) -> None:
    with pytest.raises(LedgerClientError):
        cosigners_of([text], two.log.vkey)


def test_witnesses_are_distinct_and_not_the_log(two: Two) -> None:
    w1 = f"http://x={witness('w1').vkey.text}"
    for texts in ([w1, w1.replace("//x", "//y")], [f"http://x={two.log.vkey.text}"]):
        with pytest.raises(LedgerClientError):
            cosigners_of(texts, two.log.vkey)
    assert [one.vkey for one in cosigners_of([w1], two.log.vkey)] == [witness("w1").vkey]


def _ledger_from_before(folder: Path) -> PrivateKey:
    """A folder as this program made it before logs had checkpoints: no key for them, and no rules that name one."""
    folder.mkdir()
    key = PrivateKey.generate()
    save_private_key(folder / "key.pem", key)
    (folder / "policy.toml").write_text(EMPTY_POLICY)
    rules = sign_rules(LEDGER, 1_700_000_000, RULES, key)
    log = Log.create(folder / "log.db", LEDGER)
    with log.write() as entries:
        entries.append(rules, None)
    log.close()
    HeadFile(folder / "head").begin(Head(1, leaf_hash(rules)))
    return key


def test_a_ledger_from_before_names_a_key_and_one_that_lost_it_another_of_the_same_origin(tmp_path: Path) -> None:
    folder, gateway = tmp_path / "ledger", Gateway(GATEWAY)
    first = _ledger_from_before(folder)
    Place(folder, LEDGER, tmp_path).enroll(gateway)
    pinned, keys = tmp_path / "ledger-key.toml", []
    for lost in (False, True):
        if lost:
            (folder / "checkpoint.pem").unlink()
        with embedded_ledger(folder, LEDGER) as ledger:
            pinned.write_text(trust_entry(folder))
            text, _ = made(ledger.url, [f"gateway/{GATEWAY}"], pinned, "8d", 90)
            with closing(LogClient(ledger.url, timeout_s=20.0)) as log:
                note = parse_note(log.checkpoint(0))
        keys = [log_key.vkey for log_key in parse_trust(text, "t").logs]
        assert [vkey.name for vkey in keys] == [f"{LEDGER}/{first.public.kid.hex()[:16]}"] * (1 + lost)
        demand_signed(note, keys[-1])
        assert facts(folder)["vkey"] == keys[-1].text
    assert keys[0] != keys[1]
