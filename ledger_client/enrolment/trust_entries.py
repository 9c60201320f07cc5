"""Additions to a trust file: the keys of an enrolment request, or the ``[[key]]`` entries that a ledger shows.

Looks and changes are two steps, so that somebody can be asked between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ledger_client.durable_files import write_text
from ledger_client.enrolment.party_request import PartyEnrolment, parse_any
from ledger_client.enrolment.proofs import is_request
from ledger_client.enrolment.request import Enrolment
from ledger_client.errors import TrustFileError, VerificationError
from ledger_client.formats.checks import MAX_BUNDLE
from ledger_client.formats.cose_key import base64url
from ledger_client.log_lines import printable
from ledger_client.messages import Message
from ledger_client.verification.trust import TrustKey
from ledger_client.verification.trust_file import load_trust, parse_trust
from ledger_client.verification.trust_text import entry_of, quoted


def keys_of(path: Path) -> list[TrustKey]:
    """The keys of an enrolment request, or of a file with ``[[key]]`` entries; raises ``TrustFileError``."""
    try:
        if is_request(path):
            with path.open("rb") as file:
                return list(requested(parse_any(file.read(2 * MAX_BUNDLE))))
    except OSError as error:
        way_out = "give an enrolment request, or a file with [[key]] entries"
        raise TrustFileError(str(path), "", f"cannot be read ({error.strerror})", way_out) from None
    except VerificationError as error:
        make = "meterseal keys enrol-request CONFIG -o gateway.enrol, or of a party meterseal-ledger party new NAME"
        way_out = f"have it made again: {make}"
        raise TrustFileError(str(path), "", f"is no signed enrolment request ({error.detail})", way_out) from None
    keys = load_trust(path, anchored=False).keys
    if not keys:
        way_out = "give an enrolment request, or what `meterseal-ledger show LDIR --trust` prints"
        raise TrustFileError(str(path), "", "has no [[key]]", way_out)
    return list(keys)


def requested(request: Enrolment | PartyEnrolment, latest: int | None = None) -> Iterator[TrustKey]:
    """The entries of a request's keys, that of a party or the statement key first, valid from its time on, or from
    ``latest`` (Unix seconds) if that is earlier."""
    valid_from = request.time if latest is None else min(request.time, latest)
    rest = (valid_from, None, None, None)
    if isinstance(request, PartyEnrolment):
        key = request.key
        yield TrustKey(request.role, key, None, None, None, key.kid, *rest, None, request.party)
        return
    key = request.statement
    yield TrustKey("statement", key, request.gateway, None, None, key.kid, *rest)
    for meter, facts in sorted(request.meters.items()):
        yield TrustKey("meter", facts.key, request.gateway, meter, None, facts.key.kid, *rest, facts.identity)


def missing_in(path: Path, keys: Iterable[TrustKey]) -> list[TrustKey]:
    """Those of the keys that a trust file lacks; all of them where there is no file. Raises ``TrustFileError``."""
    if not path.exists():
        return list(keys)
    there = {key.place for key in load_trust(path, anchored=False).keys}
    return [key for key in keys if key.place not in there]


def add(path: Path, keys: Sequence[TrustKey]) -> tuple[Message, ...]:
    """Add entries to a trust file, which is made where there is none; what is there stays word for word.

    Where no ``[policy]`` is there, the first ledger key brings one. Returns what a reader should know of the file now.
    Raises ``TrustFileError`` and changes nothing where the file would not be in order.
    """
    before = load_trust(path, anchored=False) if path.exists() else parse_trust("", str(path), anchored=False)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    added = "".join("\n" + entry_of(key) for key in keys)
    ledgers = sorted({key.ledger for key in keys if key.ledger is not None})
    if ledgers and not before.ledgers and "[policy]" not in text:
        added += f"\n[policy]\nreceipts = 1\nledgers = [{', '.join(map(quoted, ledgers))}]\n"
    text = f"{text.rstrip()}\n{added}".lstrip()
    after = parse_trust(text, str(path), anchored=False)
    try:
        write_text(path, text)
    except OSError as error:
        way_out = "give a path in a folder that this user may write in"
        raise TrustFileError(str(path), "", f"cannot be written ({error.strerror})", way_out) from None
    return after.warnings


def in_words(key: TrustKey) -> str:
    """Whose key, and its thumbprint."""
    if key.ledger is not None:
        return f"key of ledger {key.ledger} {base64url(key.kid)}"
    if key.party is not None:
        return f"{key.role} key of party {key.party} {base64url(key.kid)}"
    whose = "statement key" if key.meter is None else f"key of meter {key.meter}"
    identity = f" ({printable(key.identity)})" if key.identity is not None else ""
    return f"{whose} of gateway {key.gateway} {base64url(key.kid)}{identity}"
