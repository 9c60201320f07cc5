"""A plain HTTP client of one ledger: a question, its whole answer, and what it says."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPResponse

from ledger_client.transport.wire import PROBLEM, parse_problem
from tests.support.ledger_site import Site

COSE = {"Content-Type": "application/cose"}


class Answer:
    """One answer, whole."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.kind = response.headers.get("Content-Type")
        self.location = response.headers.get("Location")
        self.retry_after = response.headers.get("Retry-After")
        self.body = response.read()

    @property
    def title(self) -> str:
        assert self.kind == PROBLEM
        problem = parse_problem(self.body)
        assert problem is not None
        assert problem[1]
        return problem[0]


def ask(
    demo: Site,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    source: str = "127.0.0.1",
) -> Answer:
    """One question on a connection of its own, from the loopback address ``source``."""
    connection = HTTPConnection("127.0.0.1", demo.ledger.port, timeout=10, source_address=(source, 0))
    try:
        connection.request(method, path, body, headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()
