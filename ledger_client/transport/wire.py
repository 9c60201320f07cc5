"""Ledger wire format: media types, problem details (RFC 9290), ids in text, MQTT topics, size caps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledger_client.errors import NOTHING, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import is_name
from ledger_client.formats.cose_key import base64url, unbase64url

COSE: Final = "application/cose"
CBOR: Final = "application/cbor"
PROBLEM: Final = "application/concise-problem-details+cbor"  # RFC 9290

MAX_ENTRY: Final = 256 * 1024  # a statement must fit a bundle of 1 MiB with its receipts and its record
MAX_RECEIPT: Final = 64 * 1024
MAX_PAGE: Final = 1024 * 1024  # one answer of /gateways/{gateway}/statements

TOPIC_ROOT: Final = "meterseal/v1"

_TITLE, _DETAIL = -1, -2  # RFC 9290 §2
_PENDING, _MAX_PENDING_MS = "pending", 24 * 3600 * 1000


def id_to_text(statement_id: bytes) -> str:
    """A statement id (or a kid) as it stands in URLs and topics: base64url without padding."""
    return base64url(statement_id)


def id_from_text(text: str) -> bytes | None:
    """The 32 bytes of ``id_to_text``; ``None`` for anything that it would not have written."""
    try:
        data = unbase64url(text)
    except Malformed:
        return None
    return data if len(data) == 32 else None


class Problem(NamedTuple):
    """Concise problem details: title, detail, and ``more`` for programs, by its names."""

    title: str
    detail: str
    more: Mapping[str, object] = NOTHING


def encode_problem(title: str, detail: str, more: Mapping[str, object] = NOTHING) -> bytes:
    """Concise problem details (RFC 9290): what was refused, and why; ``more`` as custom entries (§3.2)."""
    problem: dict[int | str, object] = {_TITLE: title, _DETAIL: detail}
    return cbor.encode(problem | dict(more))


def parse_problem(data: bytes) -> Problem | None:
    """What concise problem details say; ``None`` when the bytes are none (the caller keeps the evidence)."""
    try:
        problem = cbor.decode(data, foreign=True)
    except Malformed:
        return None
    if not isinstance(problem, dict) or not isinstance(problem.get(_TITLE), str):
        return None
    detail = problem.get(_DETAIL, "")
    more = {key: value for key, value in problem.items() if isinstance(key, str)}
    return Problem(problem[_TITLE], detail if isinstance(detail, str) else "", more)


def encode_pending(retry_after_s: float) -> bytes:
    """Over MQTT what 303 with Retry-After is over HTTP: the statement is kept, what settles it comes later."""
    return cbor.encode({_PENDING: round(retry_after_s * 1000)})


def parse_pending(data: bytes) -> float | None:
    """After how many seconds to ask again, of ``encode_pending``; ``None`` for anything else."""
    try:
        value = cbor.decode(data)
    except Malformed:
        return None
    if not isinstance(value, dict) or set(value) != {_PENDING}:
        return None
    after_ms = value[_PENDING]
    return after_ms / 1000 if type(after_ms) is int and 0 <= after_ms <= _MAX_PENDING_MS else None


def excerpt(data: bytes, limit: int = 200) -> str:
    """The start of an answer as evidence in an error message: printable text as it is, anything else as escapes."""
    text = data[:limit].decode("ascii", "backslashreplace").encode("unicode_escape").decode()
    return text + ("…" if len(data) > limit else "")


@dataclass(frozen=True, slots=True)
class Topic:
    """``meterseal/v1/<ledger>/<kind>/<gateway>/<id>``: kind ``statements`` or ``receipts``, the id in base64url."""

    ledger: str
    kind: str
    gateway: str
    id_text: str

    def encode(self) -> str:
        """The topic's name on the wire."""
        return f"{TOPIC_ROOT}/{self.ledger}/{self.kind}/{self.gateway}/{self.id_text}"

    @classmethod
    def decode(cls, text: str) -> Topic | None:
        """The parts of a topic's name; ``None`` for a topic that is not of this form."""
        parts = text.removeprefix(TOPIC_ROOT + "/").split("/")
        if not text.startswith(TOPIC_ROOT + "/") or len(parts) != 4:
            return None
        ledger, kind, gateway, id_text = parts
        known = kind in ("statements", "receipts") and is_name(ledger) and is_name(gateway)
        return cls(ledger, kind, gateway, id_text) if known and id_from_text(id_text) else None
