"""What must hold of a ledger after a kill, read from its files and asked of its address: nothing here was written by
the code that is judged, but for the reading of entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from ledger_client.formats.cose_key import base64url
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.statement import parse_statement
from ledger_client.transparency.policy.key_entries import about, applied, parse_change
from ledger_client.transparency.policy.policy_file import load_policy
from ledger_client.verification.trust import Place, TrustKey
from tests.support.ledger_site import CheckedLog
from tests.support.stored_log import queries

PATIENCE_S = 30.0
Policy = dict[Place, TrustKey]


class Books:
    """A ledger's folder, and what was in it the last time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = CheckedLog(folder)

    def between(self) -> bool:
        """Whether the file asks for what the log does not tell: somebody was cut short between the two."""
        return self._asked() != self._replayed()[0]

    def faults(self, url: str, refused: set[bytes], receipts: Mapping[bytes, bytes]) -> Iterator[str]:
        """What does not hold of a ledger that has come up again, one sentence each."""
        if (health := ask(url, "GET", "/healthz")) != (200, b"ok\n"):
            yield f"its health is {health}"
        try:
            self._log.check()
        except AssertionError as error:
            yield f"the log is not consistent: {error}"
        policy, strays, ids = self._replayed()
        yield from strays
        if policy != self._asked():
            yield "the policy that the log tells is not the one that the file asks for"
        for statement_id in refused & ids:
            yield f"the refused statement {base64url(statement_id)} is in the log"
        for statement_id, receipt in receipts.items():
            if ask(url, "GET", f"/entries/{base64url(statement_id)}") != (200, receipt):
                yield f"the receipt of {base64url(statement_id)} is another one now"
        for key in list(policy.values())[-4:]:
            if key.role == "statement":
                status, _ = ask(url, "GET", f"/gateways/{key.gateway}/keys/{base64url(key.kid)}")
                if (status == 204) != (key.revoked is None):
                    yield f"the policy that is applied to {key.gateway} is not the one that the log tells: {status}"

    def next_batch(self, gateway: str, kid: bytes) -> int | None:
        """The number of a gateway's next statement; ``None`` where this key of it is not let in."""
        policy, _, _ = self._replayed()
        key = policy.get(("statement", gateway, None, None, None, kid))
        if key is None or key.revoked is not None:
            return None
        return len(self._log.check().get(gateway, []))

    def _asked(self) -> Policy:
        return {key.place: key for key in load_policy(self._folder / "policy.toml").keys}

    def _replayed(self) -> tuple[Policy, list[str], set[bytes]]:
        """The policy that the log tells, statements that stand in it against the policy at their place, and all ids."""
        with queries(self._folder) as asked:
            rows = asked("SELECT id, gateway, entry, receipt FROM entries ORDER BY number")
        policy: Policy = {}
        strays = []
        for _, gateway, entry, receipt in rows:
            if gateway is None:
                if about(entry) is not None:
                    policy = applied(policy, [parse_change(entry)])
                continue
            signed, iat = parse_statement(entry), parse_receipt(receipt).iat or 0
            key = policy.get(("statement", gateway, None, None, None, signed.kid))
            if key is None or (key.revoked is not None and key.revoked <= iat):
                strays.append(f"batch {signed.statement.batch} of {gateway} has a receipt behind its key's revocation")
        return policy, strays, {bytes(row[0]) for row in rows}


def ask(url: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an answer; (0, nothing) where there is none."""
    return answered(sent(url, method, path, body))


def sent(url: str, method: str, path: str, body: bytes | None = None) -> HTTPConnection | None:
    """A question on its way to the ledger; None: it could not be put."""
    connection = HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/cose"})
    except (OSError, HTTPException):
        connection.close()
        return None
    return connection


def answered(connection: HTTPConnection | None) -> tuple[int, bytes]:
    """Status and body of the answer to what was sent; (0, nothing) where none comes."""
    if connection is None:
        return 0, b""
    try:
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()
