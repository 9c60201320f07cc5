"""Key list of a ledger: its own entries about gateways or parties, with a signed count of them. Pure.

A page holds the entries of the ledger's own that tell the keys of one gateway or party, or of all of the kind, each
with its path to one root, and a statement of root, size and count. Whoever has every page knows that no entry is left
out, a revocation least of all, or holds the ledger's signature under a wrong count. Rules and changes of key are always
among them, so that the keys of the ledger itself are shown by the same answer. Takes and gives bytes; the form is in
docs/evidence.cddl.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger_client.errors import BadReceipt, Malformed, OutOfRange, UnknownKey
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import MAX_PATH, array, blob, name, table, text, time_s, uint
from ledger_client.formats.cose_key import PublicKey, Signer
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.notes import Vkey
from ledger_client.formats.receipt import check, parse_receipt
from ledger_client.transparency.policy.key_entries import GATEWAY, PARTY, applied, changes_of, taken_out
from ledger_client.transparency.policy.ledger_keys import (
    LedgerKey,
    checkpoint_keys,
    is_key_change,
    key_history,
    next_key,
)
from ledger_client.verification.trust import TrustKey

CONTENT_LIST: Final = "application/vnd.meterseal.log-gateways+cbor"
GATEWAYS: Final = "gateways"
PARTIES: Final = "parties"
_ALL: Final = {GATEWAYS: f"{GATEWAY}/", PARTIES: f"{PARTY}/"}
FRESH_S: Final = 300
"""How old a list may be: an older one might hide what has happened since."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry of the ledger's own: its number, its bytes, its path to the page's root, its first receipt."""

    number: int
    entry: bytes
    path: tuple[bytes, ...]
    receipt: bytes | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many entries a log of ``size`` entries under ``root`` has that tell of ``about``: ``gateway/NAME``,
    ``party/NAME``, or ``gateways`` or ``parties`` for every one."""

    ledger: str
    about: str
    count: int
    size: int
    root: bytes
    iat: int


@dataclass(frozen=True, slots=True)
class Proven:
    """What the ledger's log tells, as of ``count``: the ledger's keys, those of whom it is about, and those of its
    checkpoints, the present one last.

    Keys that were taken out of the policy are among them, as revoked ones.
    """

    count: Count
    ledger_keys: tuple[LedgerKey, ...]
    keys: tuple[TrustKey, ...]
    checkpoint_keys: tuple[Vkey, ...] = ()


def tells(whom: str, entry_about: str | None) -> bool:
    """Whether an entry of the ledger's own belongs on the list of ``whom``; ``entry_about`` is whom it is about, None
    for rules and changes of key, which belong on every list."""
    if entry_about is None:
        return True
    return entry_about.startswith(_ALL[whom]) if whom in _ALL else entry_about == whom


def sign_count(count: Count, signer: Signer) -> bytes:
    """The signed statement of how many entries there are."""
    claims = {cose.ISS: count.ledger, cose.SUB: count.about, cose.IAT: count.iat}
    payload = cbor.encode({"root": count.root, "size": count.size, "count": count.count})
    return cose.sign1({cose.CONTENT_TYPE: CONTENT_LIST, cose.CWT_CLAIMS: claims}, payload, signer)


def encode_page(signed: bytes, entries: Sequence[Shown]) -> bytes:
    """One answer of the ledger."""
    listed = [[shown.number, shown.entry, list(shown.path), shown.receipt] for shown in entries]
    return cbor.encode({"list": signed, "entries": listed})


def parse_page(data: bytes) -> tuple[bytes, list[Shown]]:
    """The signed statement and the entries of an answer; ``Malformed``."""
    fields = table(cbor.decode(data), "page", {"list", "entries"})
    if type(fields["list"]) is not bytes:
        raise Malformed("list is not a byte string")
    return fields["list"], [_shown(value) for value in array(fields["entries"], "entries")]


def prove(pages: Sequence[bytes], ledger: str, whom: str, pinned: Sequence[PublicKey], now: int) -> Proven:
    """What all pages about ``whom`` (``Count.about``) prove to whoever believes one of the ledger's keys in ``pinned``.

    The keys before and after a pinned one are believed as far as the log's changes of key lead to it. Raises
    ``VerificationError``: the pages are not this ledger's, not whole, not of now (Unix seconds), or contradict it.
    """
    parsed = [parse_page(page) for page in pages]
    shown = [one for _, entries in parsed for one in entries]
    numbers = [one.number for one in shown]
    if numbers != sorted(set(numbers)):
        raise Malformed("the entries are not in the order of the log")
    history = _history(ledger, [one.entry for one in shown], pinned)
    kids = {key.kid for key in pinned}
    # what a key before the pinned one has signed proves nothing by itself: anybody could hand over to the pinned key
    believed = history[next(n for n, one in enumerate(history) if one.key.kid in kids) :]
    counts = [_checked_count(signed, ledger, whom, believed) for signed, _ in parsed]
    for count, (_, entries) in zip(counts, parsed, strict=True):
        for one in entries:
            _check_place(one, count, history)
    last = counts[-1]
    if last.count != len(shown):
        raise OutOfRange(f"the ledger has signed that there are {last.count} entries, and shows {len(shown)}")
    if abs(now - last.iat) > FRESH_S:
        raise OutOfRange("the list is not of now; the clocks differ, or what is shown is an older state of the log")
    changes = changes_of((one.number, one.entry) for one in shown)
    if stray := {change.about for change in changes if not tells(whom, change.about)}:
        raise Malformed(f"an entry about {min(stray)} among those of {whom}")
    of_log = tuple(checkpoint_keys(one.entry for one in shown))
    return Proven(last, tuple(history), (*applied({}, changes).values(), *taken_out(changes)), of_log)


def _history(ledger: str, entries: Sequence[bytes], pinned: Sequence[PublicKey]) -> list[LedgerKey]:
    changes = [entry for entry in entries if is_key_change(entry)]
    kids = {key.kid for key in pinned}
    if changes:
        candidates = [next_key(changes[-1])]
    else:
        signer = cose.Sign1.parse(entries[0]).protected.get(cose.KID) if entries else None
        candidates = [key for key in pinned if key.kid == signer]
    if not candidates:
        raise UnknownKey(f"what is shown is not signed by the key of {ledger} that is believed")
    history = key_history(ledger, candidates[0], entries)
    if not kids & {key.key.kid for key in history}:
        raise UnknownKey(f"the keys that are shown do not lead to the key of {ledger} that is believed")
    return history


def _checked_count(signed: bytes, ledger: str, whom: str, history: Sequence[LedgerKey]) -> Count:
    sign1 = cose.Sign1.parse(signed)
    table(sign1.unprotected, "the list's unprotected header", set())
    header = table(sign1.protected, "the list's header", {cose.ALG, cose.CONTENT_TYPE, cose.KID, cose.CWT_CLAIMS})
    if header[cose.CONTENT_TYPE] != CONTENT_LIST:
        raise Malformed(f"content type {header[cose.CONTENT_TYPE]!r} is not {CONTENT_LIST}")
    claims = table(header[cose.CWT_CLAIMS], "the list's claims", {cose.ISS, cose.SUB, cose.IAT})
    if name(claims[cose.ISS], "iss") != ledger:
        raise Malformed(f"the list is of ledger {claims[cose.ISS]}, not of {ledger}")
    if text(claims[cose.SUB], "sub") != whom:
        raise Malformed(f"the list is of {claims[cose.SUB]}, not of {whom}")
    iat = time_s(claims[cose.IAT], "iat")
    sign1.verify(_key_at(history, header[cose.KID], iat))
    fields = table(cbor.decode(sign1.payload or b""), "list", {"root", "size", "count"})
    size, count = uint(fields["size"], "size"), uint(fields["count"], "count")
    return Count(ledger, whom, count, size, blob(fields["root"], "root", 32), iat)


def _check_place(one: Shown, count: Count, history: Sequence[LedgerKey]) -> None:
    if root_from_path(leaf_hash(one.entry), count.size, one.number, one.path) != count.root:
        raise BadReceipt(f"entry {one.number} is not in the log under the root that the list states")
    if one.receipt is None:
        return
    receipt = parse_receipt(one.receipt)
    if receipt.index != one.number or receipt.ledger != count.ledger:
        raise BadReceipt(f"the receipt of entry {one.number} is for another place")
    check(receipt, one.entry, _key_at(history, receipt.kid, receipt.iat or 0))


def _key_at(history: Sequence[LedgerKey], kid: object, at: int) -> PublicKey:
    for one in history:
        if one.key.kid == kid and one.since <= at and (one.until is None or at < one.until):
            return one.key
    raise UnknownKey("something is signed by a key that is not the ledger's, or was not at that time")


def _shown(value: object) -> Shown:
    number, entry, path, receipt = array(value, "entry", 4, 4)
    if type(entry) is not bytes or not (receipt is None or type(receipt) is bytes):
        raise Malformed("an entry or its receipt is not a byte string")
    hashes = tuple(blob(one, "hash", 32) for one in array(path, "path", 0, MAX_PATH))
    return Shown(uint(number, "number"), entry, hashes, receipt)
