"""Somebody else's SCITT service, as draft-ietf-scitt-scrapi has it: operations, numbered entries, no mercy for twins.

It knows nothing of Meterseal: entries have ids of its own, the same statement sent twice is registered twice, and there
is no question about gateways. ``fault`` is asked about every request before it is handled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from ledger_client.errors import VerificationError
from ledger_client.formats import cbor, cose
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import INCLUSION, VDS_RFC9162_SHA256
from ledger_client.formats.statement import detach_receipts, parse_statement
from ledger_client.transport.wire import COSE, MAX_ENTRY, PROBLEM, encode_problem
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import key_entry


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over the wire."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


Fault = Literal["failed", "lost"] | Answer | None
"""The connection ends before the request is handled, or after it; or another answer is given, and nothing done."""


class ForeignScitt:
    """``polls``: how often an operation says "running" before its receipt; 0: the receipt comes at once (201)."""

    def __init__(self, name: str = "foreign", *, polls: int = 2, token: str | None = None) -> None:
        self.name, self.polls, self.token = name, polls, token
        self.key = PrivateKey.generate()
        self.entries: list[bytes] = []
        self.asked: list[str] = []
        self.retry_after = "1"
        self.fault: Callable[[str, str], Fault] = lambda _method, _path: None
        self._hashes = [leaf_hash(b"policy")]  # so that no receipt has an empty path
        self._operations: dict[str, list[int]] = {}  # entry, polls left
        self._lock = threading.Lock()
        self.url = ""

    def trust(self) -> Trust:
        """A trust file that believes this service."""
        policy = f'[policy]\nreceipts = 1\nledgers = ["{self.name}"]\n'
        return parse_trust(policy + key_entry("ledger", self.key.public, 0, ledger=self.name), "trust.toml")

    def restart(self) -> None:
        """Forget every operation; what is registered stays, and so does its place in the log."""
        with self._lock:
            self._operations.clear()

    def finish(self) -> None:
        """Every operation is done, and later ones are at once."""
        with self._lock:
            self.polls = 1
            for operation in self._operations.values():
                operation[1] = 0

    def post(self, body: bytes, content_type: str | None) -> Answer:
        """POST /entries."""
        try:
            if content_type != COSE:
                return _problem(400, "Malformed request", f"Content-Type must be {COSE}")
            entry, _ = detach_receipts(body)
            parse_statement(entry)
        except VerificationError as error:
            return _problem(400, "Rejected", error.detail)
        with self._lock:
            self.entries.append(entry)
            self._hashes.append(leaf_hash(entry))
            number = len(self.entries)
            if not self.polls:
                return Answer(201, (("Content-Type", COSE), ("Location", f"/entries/{number}")), self._receipt(number))
            self._operations[f"op-{number}"] = [number, self.polls]
        return Answer(303, (("Location", f"/entries/op-{number}"), ("Retry-After", self.retry_after)))

    def get(self, path: str) -> Answer:
        """GET /entries/{operation or number}."""
        id_ = path.removeprefix("/entries/")
        with self._lock:
            operation = self._operations.get(id_)
            if operation is not None and operation[1] > 0:
                operation[1] -= 1
                return Answer(302, (("Location", path), ("Retry-After", self.retry_after)))
            if operation is None and not (id_.isascii() and id_.isdigit()):
                return _problem(404, "Operation Not Found", id_)
            number = int(id_) if operation is None else operation[0]
            if not 0 < number <= len(self.entries):
                return _problem(404, "Not Found", id_)
            return Answer(200, (("Content-Type", COSE), ("Location", f"/entries/{number}")), self._receipt(number))

    def _receipt(self, number: int) -> bytes:
        tree = Tree(self._hashes)
        size = len(self._hashes)
        path = tree.path(number)
        claims = {cose.ISS: self.name, cose.SUB: f"entry/{number}", cose.IAT: int(time.time())}
        protected = {cose.VDS: VDS_RFC9162_SHA256, cose.CWT_CLAIMS: claims}
        proofs = {cose.VDP: {INCLUSION: [cbor.encode([size, number, list(path)])]}}
        return cose.sign1(protected, tree.root, self.key, unprotected=proofs, detached=True)


def _problem(status: int, title: str, detail: str) -> Answer:
    return Answer(status, (("Content-Type", PROBLEM),), encode_problem(title, detail))


def _handler(service: ForeignScitt) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(min(length, MAX_ENTRY + 1))
            self._answer(lambda: service.post(body, self.headers.get("Content-Type")))

        def do_GET(self) -> None:
            self._answer(lambda: service.get(self.path))

        def _answer(self, handle: Callable[[], Answer]) -> None:
            service.asked.append(f"{self.command} {self.path}")
            fault = service.fault(self.command, self.path)
            if fault == "failed":
                self.close_connection = True
                return
            if isinstance(fault, Answer):
                answer = fault
            elif service.token is None or self.headers.get("Authorization") == f"Bearer {service.token}":
                answer = handle()
            else:
                answer = _problem(401, "Unauthorized", "a token, please")
            if fault == "lost":
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            headers = {"Date": self.date_time_string(), "Content-Length": str(len(answer.body))} | dict(answer.headers)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(service: ForeignScitt) -> Iterator[ForeignScitt]:
    """The service at an address of its own, ``service.url``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
