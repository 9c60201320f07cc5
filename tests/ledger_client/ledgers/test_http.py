"""The http driver against a server that answers what the test says, byte for byte: nothing it sends is believed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable, Refused, Unsupported
from ledger_client.formats import cbor
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import Pending
from ledger_client.transport.access import Access
from ledger_client.transport.wire import MAX_PAGE, MAX_RECEIPT, encode_problem
from tests.support.enrolled import Gateway

GATEWAY = Gateway("gw")
ENTRY = GATEWAY.statement(0)
COSE = "Content-Type: application/cose"
CBOR = "Content-Type: application/cbor"
PROBLEM = "Content-Type: application/concise-problem-details+cbor"


class Script:
    """A server on a socket: each connection gets the next answer and is closed; what was asked is kept."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.asked: list[str] = []
        self.heads: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def add(self, status: str, *headers: str, body: bytes = b"", length: int | None = None) -> None:
        size = f"Content-Length: {len(body) if length is None else length}"
        head = "\r\n".join([f"HTTP/1.1 {status}", size, "Connection: close", *headers, "", ""])
        self.answers.append(head.encode() + body)

    def close(self) -> None:
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.heads.append(_request(connection))
                self.asked.append(self.heads[-1].split("\r\n")[0])
                connection.sendall(self.answers.pop(0))


def _request(connection: socket.socket) -> str:
    """Read one request to its end; returns its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value):
                body += connection.recv(65536)
    return head.decode()


@pytest.fixture
def script() -> Iterator[Script]:
    server = Script()
    yield server
    server.close()


@pytest.fixture
def ledger(script: Script) -> Iterator[HttpLedger]:
    driver = HttpLedger("other", script.url, timeout_s=2.0)
    yield driver
    driver.close()


def questions(ledger: HttpLedger) -> tuple[Callable[[], object], ...]:
    """The two calls that every service has."""
    return lambda: ledger.submit(ENTRY), lambda: ledger.lookup(statement_id(ENTRY))


def extensions(ledger: HttpLedger) -> tuple[Callable[[], object], ...]:
    """The two that only the embedded ledger has."""
    return lambda: ledger.last("gw"), lambda: ledger.statements("gw", -1)


def test_the_flow_of_a_slow_service(script: Script, ledger: HttpLedger) -> None:
    id_ = statement_id(ENTRY)
    script.add("303 See Other", "Location: /operations/17", "Retry-After: 3")
    assert ledger.submit(ENTRY) == Pending(3.0, script.url + "/operations/17")
    script.add("302 Found", f"Location: {script.url}/operations/18", "Retry-After: 1")
    assert ledger.lookup(id_) == Pending(1.0, script.url + "/operations/18")
    script.add("302 Found", "Location: /operations/18")
    assert ledger.lookup(id_) == Pending(5.0, script.url + "/operations/18")
    script.add("200 OK", COSE, "Location: /entries/abc", body=b"receipt")
    assert ledger.lookup(id_) == b"receipt"
    assert [line.split()[:2] for line in script.asked] == [
        ["POST", "/entries"],
        ["GET", "/operations/17"],
        ["GET", "/operations/18"],
        ["GET", "/operations/18"],
    ]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/x",
        "https://ledger.example/x",
        "//elsewhere/x",
        "file:///etc/passwd",
        "http://[x",
        "//me:secret@HOST/x",
        "/" + "x" * 2048,
        "/caf\xe9",
    ],
)
@pytest.mark.parametrize("status", ["302 Found", "303 See Other"])
def test_no_answer_leads_away_from_the_ledger(script: Script, ledger: HttpLedger, status: str, location: str) -> None:
    for ask in questions(ledger):
        script.add(status, f"Location: {location}".replace("HOST", script.url.removeprefix("http://")))
        with pytest.raises(LedgerUnavailable):
            ask()
    assert len(script.asked) == 2


@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_redirects_are_not_followed(script: Script, ledger: HttpLedger, status: str) -> None:
    script.add(status, "Location: /entries")
    with pytest.raises(LedgerUnavailable, match=status[:3]):
        ledger.submit(ENTRY)
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "409 Conflict", "422 Unprocessable"])
def test_a_refusal_is_the_ledgers_own_words(script: Script, ledger: HttpLedger, status: str) -> None:
    script.add(status, PROBLEM, body=encode_problem("Rejected", "not today"))
    with pytest.raises(Refused) as caught:
        ledger.submit(ENTRY)
    assert (caught.value.title, caught.value.detail) == ("Rejected", "not today")
    script.add(status, "Content-Type: text/html", body=b"<p>no</p>")
    with pytest.raises(Refused, match=r"no reason given.*<p>no</p>"):
        ledger.submit(ENTRY)


@pytest.mark.parametrize(
    "status", ["408 Timeout", "425 Early", "429 Too Many", "500 Oops", "502 Bad", "503 Later", "504 Timeout", "599 ?"]
)
def test_what_may_pass_is_no_refusal(script: Script, ledger: HttpLedger, status: str) -> None:
    for ask in (*questions(ledger), *extensions(ledger)):
        script.add(status, PROBLEM, "Retry-After: 7", body=encode_problem("Busy", "come back"))
        with pytest.raises(LedgerUnavailable, match="come back") as caught:
            ask()
        assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], b"receipt"),
        (["Content-Type: text/html"], b"<h1>Welcome to the hotel</h1>"),
        ([CBOR], b"\xf6"),
        ([COSE], b""),
        ([COSE], b"x" * (MAX_RECEIPT + 1)),
        ([COSE, "Content-Encoding: gzip"], b"not gzip"),
    ],
)
def test_what_is_no_receipt_is_kept_as_evidence(
    script: Script, ledger: HttpLedger, headers: list[str], body: bytes
) -> None:
    for ask in questions(ledger):
        script.add("200 OK", *headers, body=body)
        with pytest.raises(LedgerUnavailable, match=r"http://127\.0\.0\.1"):
            ask()


def test_the_body_of_a_redirect_has_a_cap_like_any_other(script: Script, ledger: HttpLedger) -> None:
    script.add("303 See Other", "Location: /entries/1", body=bytes(2 * MAX_RECEIPT))
    with pytest.raises(LedgerUnavailable, match="larger than"):
        ledger.submit(ENTRY)


def test_an_answer_that_breaks_off_is_none(script: Script, ledger: HttpLedger) -> None:
    script.add("201 Created", COSE, body=b"half a rec", length=100)
    with pytest.raises(LedgerUnavailable):
        ledger.submit(ENTRY)
    script.answers.append(b"HTTP/1.1 201")
    with pytest.raises(LedgerUnavailable):
        ledger.submit(ENTRY)
    script.answers.append(b"\x00\xff\xfe not http at all")
    with pytest.raises(LedgerUnavailable):
        ledger.submit(ENTRY)


def test_nobody_there() -> None:
    driver = HttpLedger("nobody", "http://127.0.0.1:1", timeout_s=1.0)
    with pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1"):
        driver.submit(ENTRY)
    driver.close()


def test_a_silent_server_is_left_after_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        driver = HttpLedger("deaf", f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_s=0.2)
        with pytest.raises(LedgerUnavailable):
            driver.submit(ENTRY)
        driver.close()


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="headers"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", id="100"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"", id="silence"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"x", id="body"),
    ],
)
def test_an_answer_that_never_ends_is_not_waited_for(begin: bytes, endless: bytes) -> None:
    def drip(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            _request(connection)
            with suppress(OSError):
                connection.sendall(begin)
                while not left.wait(0.01):
                    connection.sendall(endless)

    left = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,), daemon=True)
        thread.start()
        driver = HttpLedger("drip", f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.3)
        with pytest.raises(LedgerUnavailable, match=r"did not end in time|timed out"):
            driver.submit(ENTRY)
        driver.close()
        left.set()
        thread.join()


def test_a_proxy_is_used_when_it_is_written_down(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script.add("200 OK", COSE, body=b"receipt")
    driver = HttpLedger("far", "http://ledger.example", Access(proxy=script.url), timeout_s=2.0)
    assert driver.lookup(statement_id(ENTRY)) == b"receipt"
    assert script.asked[0].startswith("GET http://ledger.example/entries/")
    driver.close()
    monkeypatch.setenv("http_proxy", script.url)  # nobody wrote this one down
    monkeypatch.setenv("https_proxy", script.url)
    for url in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
        driver = HttpLedger("near", url, timeout_s=2.0)
        with pytest.raises(LedgerUnavailable, match="refused"):
            driver.lookup(statement_id(ENTRY))
        driver.close()
    assert len(script.asked) == 1


def test_a_proxy_that_says_no_is_named(script: Script) -> None:
    driver = HttpLedger("far", "https://ledger.example", Access(proxy=script.url), timeout_s=2.0)
    script.add("407 Proxy Authentication Required")
    with pytest.raises(LedgerUnavailable, match=rf"via proxy {script.url}: .*407"):
        driver.submit(ENTRY)
    driver.close()
    assert [line.split()[:2] for line in script.asked] == [["CONNECT", "ledger.example:443"]]


def test_a_login(script: Script, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("sesame\n")
    password.chmod(0o600)
    script.add("200 OK", COSE, body=b"receipt")
    driver = HttpLedger("other", script.url, Access(user="gw", password_file=password), timeout_s=2.0)
    assert driver.submit(ENTRY) == b"receipt"
    driver.close()
    assert "Authorization: Basic Z3c6c2VzYW1l" in script.heads[0]


def test_a_service_that_is_no_embedded_ledger(script: Script, ledger: HttpLedger) -> None:
    for ask in extensions(ledger):
        script.add("404 Not Found", PROBLEM, body=encode_problem("Not Found", "no such page"))
        with pytest.raises(Unsupported):
            ask()


@pytest.mark.parametrize(
    "value",
    [1, "text", {"batch": 1}, {"batch": -1, "id": bytes(32)}, {"batch": 1, "id": b"short"}, [b"no statement"], [1]],
)
def test_odd_answers_about_a_gateway(script: Script, ledger: HttpLedger, value: object) -> None:
    for ask in extensions(ledger):
        script.add("200 OK", CBOR, body=cbor.encode(value))
        with pytest.raises(LedgerUnavailable):
            ask()


def test_pages_that_never_end_are_not_read_for_ever(script: Script, ledger: HttpLedger) -> None:
    for _ in range(2):
        script.add("200 OK", CBOR, body=cbor.encode([ENTRY]))
    with pytest.raises(LedgerUnavailable, match="after batch 0 contain batch 0"):
        ledger.statements("gw", -1)
    script.add("200 OK", CBOR, body=bytes(MAX_PAGE + 1))
    with pytest.raises(LedgerUnavailable, match="larger than"):
        ledger.statements("gw", -1)
