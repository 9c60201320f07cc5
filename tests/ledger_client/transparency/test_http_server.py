"""The embedded ledger over HTTP: what it answers to good questions, and that no bad one gets a 5xx."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import count

import pytest

from ledger_client.formats import cbor
from ledger_client.formats.cose_key import PublicKey, load_private_key
from ledger_client.formats.statement import statement_id
from ledger_client.transparency.log.log import Log
from ledger_client.transport.wire import MAX_ENTRY, id_to_text
from tests.ledger_client.transparency.test_cli import run
from tests.support.brokers.mqtt_client import COSE, Answer, ask
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Site, site, until

_numbers = count(1)
CBOR = "application/cbor"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("http")) as running:
        yield running


@pytest.fixture
def gateway(demo: Site) -> Gateway:
    return demo.enroll(Gateway(f"gw-{next(_numbers)}"))


def test_the_flow_of_a_submission(demo: Site, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    path = f"/entries/{id_to_text(statement_id(entry))}"
    assert ask(demo, "GET", path).title == "Not Found"
    answer = ask(demo, "POST", "/entries", entry, COSE)
    assert (answer.status, answer.kind, answer.location) == (201, "application/cose", path)
    again = ask(demo, "POST", "/entries", entry, {"Content-Type": "Application/COSE; x=y"})
    assert (again.status, again.body) == (201, answer.body)
    looked_up = ask(demo, "GET", path)
    assert (looked_up.status, looked_up.kind, looked_up.body) == (200, "application/cose", answer.body)


def test_the_ledgers_keys_are_published(demo: Site) -> None:
    public = load_private_key(demo.ledger.folder / "key.pem").public
    answer = ask(demo, "GET", "/.well-known/scitt-keys")
    assert (answer.status, answer.kind) == (200, CBOR)
    (key,) = cbor.decode(answer.body)
    assert PublicKey.from_cose_key(cbor.encode(key)).kid == public.kid
    one = ask(demo, "GET", f"/.well-known/scitt-keys/{id_to_text(public.kid)}")
    assert (one.status, one.kind, cbor.decode(one.body)) == (200, CBOR, {**cbor.decode(public.cose_key), 2: public.kid})
    assert ask(demo, "GET", "/.well-known/scitt-keys/AAAA").title == "No such key"


def test_the_policy_entry_has_no_receipt(demo: Site) -> None:
    log = Log.open(demo.ledger.folder / "log.db", read_only=True)
    with log.read() as reading:
        policy = reading.entry(0)
    log.close()
    assert policy is not None
    assert ask(demo, "GET", f"/entries/{id_to_text(statement_id(policy))}").status == 404


def test_a_gateways_statements_come_in_pages(demo: Site, gateway: Gateway) -> None:
    empty = ask(demo, "GET", f"/gateways/{gateway.name}/last")
    assert (empty.status, empty.kind, cbor.decode(empty.body)) == (200, CBOR, None)
    entries = [gateway.statement(batch) for batch in range(3)]
    for entry in entries:
        assert ask(demo, "POST", "/entries", entry, COSE).status == 201
    last = cbor.decode(ask(demo, "GET", f"/gateways/{gateway.name}/last").body)
    assert last == {"batch": 2, "id": statement_id(entries[2])}
    for query, expected in (("", entries), ("?after=-1", entries), ("?after=0", entries[1:]), ("?after=2", [])):
        assert cbor.decode(ask(demo, "GET", f"/gateways/{gateway.name}/statements{query}").body) == expected


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"x", 415),
        ({"Content-Type": "application/json"}, b"{}", 415),
        (COSE, b"", 400),
        (COSE, b"\x00", 400),
        (COSE, b"\xd2\x84", 400),
        (COSE, b"\x9f" * 5000, 400),
        (COSE, b"\x81" * 5000, 400),
        (COSE, b"\xd2" * 5000, 400),
        (COSE, b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 400),
        (COSE, b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", 400),
        (COSE, bytes(MAX_ENTRY), 400),
        (COSE, bytes(MAX_ENTRY + 1), 413),
        (COSE | {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08", 400),
    ],
)
def test_a_bad_body_is_the_senders_fault(demo: Site, headers: dict[str, str], body: bytes, status: int) -> None:
    answer = ask(demo, "POST", "/entries", body, headers)
    assert answer.status == status
    assert answer.title


def test_every_byte_of_a_statement_matters_and_none_harms(demo: Site, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    connection = HTTPConnection("127.0.0.1", demo.ledger.port, timeout=10)
    for position in range(0, len(entry), 7):
        broken = entry[:position] + bytes([entry[position] ^ (1 << position % 8)]) + entry[position + 1 :]
        connection.request("POST", "/entries", broken, COSE)
        answer = Answer(connection.getresponse())
        assert answer.status in (400, 403)
        assert answer.title
    connection.close()
    assert demo.held(gateway) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/entries", 405),
        ("PUT", "/entries", 405),
        ("DELETE", "/entries/" + "A" * 43, 405),
        ("GET", "/entries/" + "A" * 42 + "B", 404),
        ("GET", "/entries/%00", 404),
        ("GET", "/entries/%ff%fe", 404),
        ("GET", "/entries/../../etc/passwd", 404),
        ("GET", "/entries/" + "A" * 8000, 404),
        ("GET", "/gateways/%2e%2e/last", 400),
        ("GET", "/gateways/a%20b/last", 400),
        ("GET", "/gateways/-/last", 400),
        ("GET", "/gateways/" + "a" * 65 + "/statements", 400),
        ("GET", "/gateways/g/statements?after=x", 400),
        ("GET", "/gateways/g/statements?after=", 400),
        ("GET", "/gateways/g/statements?after=-2", 400),
        ("GET", "/gateways/g/statements?after=--1", 400),
        ("GET", "/gateways/g/statements?after=9223372036854775808", 400),
        ("GET", "/gateways/g/statements?after=" + "9" * 5000, 400),
        ("GET", "/gateways/g/statements?after=%F0%9F%98%80", 400),
        ("GET", "/gateways/g/statements?after=9223372036854775807", 200),
        ("GET", "/gateways/g/keys/AAAA", 400),
        ("GET", f"/gateways/g/keys/{id_to_text(bytes(32))}", 403),
        ("POST", f"/gateways/g/keys/{id_to_text(bytes(32))}", 405),
        ("BREW", "/entries", 405),
        ("POST", "/log/head", 405),
        ("GET", "/log", 404),
        ("GET", "/log/entries?from=-1", 400),
        ("GET", "/log/entries?from=0&limit=0", 400),
        ("GET", "/log/entries?limit=x", 400),
        ("GET", "/log/entries?from=9223372036854775807&limit=9223372036854775807", 200),
        ("GET", "/log/entries?from=9223372036854775808", 400),
        ("GET", "/log/consistency", 400),
        ("GET", "/log/consistency?to=2", 400),
        ("GET", "/log/consistency?from=0&to=1", 400),
        ("GET", "/log/consistency?from=1&to=1", 400),
        ("GET", "/log/consistency?from=2&to=1", 400),
        ("GET", "/log/consistency?from=1&to=9223372036854775807", 404),
    ],
)
def test_a_bad_question_gets_a_plain_no(demo: Site, method: str, path: str, status: int) -> None:
    answer = ask(demo, method, path)
    assert answer.status == status
    if status != 200:
        assert answer.title


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Type: application/cose\r\nContent-Length: 999999999999\r\n\r\n",
        b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Type: application/cose\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nXX\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Type: \xff\xfe\r\nContent-Length: 1\r\n\r\nx",
    ],
)
def test_raw_nonsense_gets_no_5xx(demo: Site, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", demo.ledger.port), timeout=10) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""  # hung up on is an answer, too
    assert answer == b"" or answer.split()[1].startswith(b"4")


@pytest.mark.parametrize("kind", ["application/cose", "text/plain"])
def test_a_chunk_without_a_size_gets_400_and_a_line_of_the_log(demo: Site, kind: str) -> None:
    """… in one piece with its head, or when the application waits for it, or has answered: no traceback."""
    head = (
        b"POST /entries HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: %s\r\n\r\n" % kind.encode()
    )
    with socket.create_connection(("127.0.0.1", demo.ledger.port), timeout=10) as connection:
        connection.sendall(head + b"zz\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", demo.ledger.port), timeout=10) as connection:
        connection.sendall(head + b"1\r\nx\r\n")
        status = b"HTTP/1.1 400 "
        if kind == "text/plain":  # answered before its body has come
            status = b"HTTP/1.1 415 "
            assert connection.recv(16, socket.MSG_PEEK).startswith(status)
        connection.sendall(b"zz\r\n")
        assert connection.makefile("rb").read().startswith(status)
    assert until(lambda: "what is no HTTP request" in demo.ledger.log.read_text())
    assert "Traceback" not in demo.ledger.log.read_text()


def test_a_body_that_ends_early_or_never_is_dropped(demo: Site, gateway: Gateway) -> None:
    head = b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Type: application/cose\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", demo.ledger.port), timeout=10) as slow:
        slow.sendall(head + b"half")  # and stays
        with socket.create_connection(("127.0.0.1", demo.ledger.port), timeout=10) as hasty:
            hasty.sendall(head + b"half")
        assert ask(demo, "POST", "/entries", gateway.statement(0), COSE).status == 201


def test_a_chunked_body_has_the_same_cap(demo: Site) -> None:
    connection = HTTPConnection("127.0.0.1", demo.ledger.port, timeout=10)
    try:
        chunks = (bytes(65536) for _ in range(8))
        connection.request("POST", "/entries", chunks, COSE, encode_chunked=True)
        assert Answer(connection.getresponse()).status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server need not read to the end
    finally:
        connection.close()


def test_a_policy_that_cannot_be_read_changes_nothing(demo: Site, gateway: Gateway) -> None:
    policy = demo.ledger.folder / "policy.toml"
    before, stranger = policy.read_text(), Gateway("stranger")
    flaws = (before + "[[key]\n", before + "[[key]]\nrole = 'statement'\n", before + "[other]\n", "\0", None)
    assert ask(demo, "POST", "/entries", gateway.statement(0), COSE).status == 201
    for batch, broken in enumerate(flaws, 1):
        policy.unlink() if broken is None else policy.write_text(broken)
        assert ask(demo, "POST", "/entries", gateway.statement(batch), COSE).status == 201
        assert ask(demo, "POST", "/entries", stranger.statement(0), COSE).status == 403
    policy.write_text(before)
    line = "the policy before it stays in force"
    assert until(lambda: demo.ledger.log.read_text().count(line) == len(flaws))
    assert ask(demo, "POST", "/entries", gateway.statement(len(flaws) + 1), COSE).status == 201
    policy.write_text("")
    assert ask(demo, "POST", "/entries", gateway.statement(len(flaws) + 2), COSE).status == 403  # in order, and empty
    policy.write_text(before)


def test_a_revoked_key_is_refused_from_then_on(demo: Site, gateway: Gateway) -> None:
    receipt = ask(demo, "POST", "/entries", gateway.statement(0), COSE).body
    run("revoke", demo.ledger.folder, gateway.name, "--reason", "gateway stolen")
    refused = ask(demo, "POST", "/entries", gateway.statement(1), COSE)
    assert (refused.status, refused.title) == (403, "Key not valid")
    assert b"revoked at" in refused.body
    assert b"gateway stolen" in refused.body
    assert ask(demo, "POST", "/entries", gateway.statement(0), COSE).body == receipt
    assert "REVOKED" in run("show", demo.ledger.folder).out


def test_whether_a_key_counts_can_be_asked_without_a_statement(demo: Site, gateway: Gateway) -> None:
    path = f"/gateways/{gateway.name}/keys/{id_to_text(gateway.key.public.kid)}"
    answer = ask(demo, "GET", path)
    assert (answer.status, answer.body) == (204, b"")
    run("revoke", demo.ledger.folder, gateway.name, "--reason", "gateway stolen")
    refused = ask(demo, "GET", path)
    assert (refused.status, refused.title) == (403, "Key not valid")
