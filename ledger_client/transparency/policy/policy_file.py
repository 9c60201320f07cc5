"""Policy file (``policy.toml``): the ``[[key]]`` entries of gateways' statement and meter keys, and of parties' keys.

The entries are those of a trust file. Statements are taken by statement keys alone, claims by the keys of parties; the
meters' stand here so that whoever trusts the ledger can have them from it. A running ledger reads the file again when
it has changed; ``enroll`` and ``revoke`` only ever add to it, so what the operator wrote stays.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from ledger_client.durable_files import write_text
from ledger_client.errors import TrustFileError
from ledger_client.messages import Message
from ledger_client.text_file import NotText, NotToml, text_of, toml_of
from ledger_client.times import rfc3339
from ledger_client.verification.trust import Held, TrustKey
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import entry_of, held_lines, quoted

_LOG = logging.getLogger("meterseal.ledger")
MAX_TEXT = 1024  # characters of a reason, or of an identity
_ENTRY = re.compile(r"^[ \t]*\[\[[ \t]*key[ \t]*\]\].*\n", re.MULTILINE)
_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)
_ATTESTATION = re.compile(r"^[ \t]*(?:held|evidence)[ \t]*=.*\n?", re.MULTILINE)
EMPTY_POLICY = """\
# The gateways whose batches this ledger takes, their meters, and the parties whose claims it takes. `meterseal-ledger
# enroll` adds to this file, and a running ledger picks up every change. `meterseal-ledger revoke` adds `revoked` and
# `revoked_reason` to a key's entry.
"""


class Policy:
    """The keys that are enrolled."""

    def __init__(self, keys: tuple[TrustKey, ...]) -> None:
        self.keys = keys
        self._index = {(key.gateway, key.meter, key.kid): key for key in keys if key.gateway is not None}
        self._of_party: dict[str, list[TrustKey]] = {}
        for key in keys:
            if key.party is not None:
                self._of_party.setdefault(key.party, []).append(key)

    def find(self, gateway: str, kid: bytes, meter: str | None = None) -> TrustKey | None:
        """The enrolled key of a gateway, or of its meter, with this kid."""
        return self._index.get((gateway, meter, kid))

    def party(self, name: str, kid: bytes) -> TrustKey | None:
        """The enrolled key of a party, whatever its role, with this kid."""
        return next((key for key in self.party_keys(name) if key.kid == kid), None)

    def party_keys(self, name: str) -> list[TrustKey]:
        """The keys of a party, revoked ones too."""
        return self._of_party.get(name, [])

    def statement_keys(self, gateway: str) -> list[TrustKey]:
        """The statement keys of a gateway, revoked ones too."""
        return [key for key in self.keys if key.gateway == gateway and key.role == "statement"]


def flaw_at(key: TrustKey, now: int) -> str | None:
    """Why a key does not count at ``now`` (Unix seconds); ``None`` when it does."""
    if key.revoked is not None and now >= key.revoked:
        return f"was revoked at {rfc3339(key.revoked)} ({key.revoked_reason or 'no reason given'})"
    if now < key.valid_from:
        return f"counts from {rfc3339(key.valid_from)} on"
    if key.valid_to is not None and now >= key.valid_to:
        return f"counted until {rfc3339(key.valid_to)}"
    return None


class PolicyFile:
    """The ``policy.toml`` of a bridge to a chain, which has no log to tell its policy; safe to ask from any thread.

    A file that cannot be understood, or is gone, changes nothing: the policy before it stays in force, and ``flaw``
    says so, until there is a file in order again. So a slip of the editor neither opens the ledger nor closes it.
    """

    def __init__(self, path: Path) -> None:
        """Raises ``TrustFileError`` if the file is not in order: then there is no policy before it."""
        self._path = path
        self._lock = threading.Lock()
        self._mark = look(path)
        self._policy = load_policy(path)
        self.flaw: str | None = None

    def current(self) -> Policy:
        """The policy in force; the file is read again if it has changed."""
        with self._lock:
            mark = look(self._path)  # taken first: what changes while we read is seen the next time
            if mark != self._mark:
                self._mark = mark
                self._read()
            return self._policy

    def _read(self) -> None:
        try:
            self._policy = load_policy(self._path)
        except TrustFileError as error:
            self.flaw = str(error)
            _LOG.error("%s (the policy before it stays in force)", self.flaw)
        else:
            self.flaw = None
            _LOG.info("%s was read again: %d keys", self._path, len(self._policy.keys))


Mark = tuple[int, int, int]


def look(path: Path) -> Mark | None:
    """What changes whenever the file does; ``None`` where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size


def load_policy(path: Path) -> Policy:
    """Read a policy file; raises ``TrustFileError`` with file, key and the way out."""
    return parse_policy(_read_text(path), str(path))


def parse_policy(text: str, source: str) -> Policy:
    """Read the text of a policy file; raises ``TrustFileError`` with file, key and the way out."""
    document, keys = _parse_keys(text, source)
    if "policy" in document or "chain" in document:
        way_out = "only [[key]] entries of gateways and parties belong here"
        raise TrustFileError(source, "policy" if "policy" in document else "chain", "unknown key", way_out)
    for number, key in enumerate(keys, start=1):
        if key.role == "ledger":
            raise TrustFileError(source, f"key {number}.role", "is 'ledger'", "enrol keys of gateways and parties only")
        if key.revoked_reason is not None and not 0 < len(key.revoked_reason) <= MAX_TEXT:
            raise TrustFileError(
                source, f"key {number}.revoked_reason", "is empty or very long", "say it in a sentence"
            )
    return Policy(keys)


@dataclass(frozen=True, slots=True)
class End:
    """Until when a retired key counts (Unix seconds), and why it was retired."""

    valid_to: int
    reason: str


def add_keys(
    policy: Path,
    keys: Sequence[TrustKey],
    identities: Mapping[TrustKey, str],
    ends: Mapping[TrustKey, End] = MappingProxyType({}),
    attested: Mapping[TrustKey, Held | None] = MappingProxyType({}),
) -> None:
    """Add entries to a policy file, and identities and ends to some that are there, durably; what is ``attested`` of
    such an entry takes the place of what was (None: nothing more). All else stays word for word.

    The caller holds ``alone``. Raises ``TrustFileError`` and changes nothing where the file would not be in order.
    """
    text, before = policy.read_text(encoding="utf-8"), load_policy(policy).keys
    wanted = [_changed(key, identities, ends, attested) for key in before] + list(keys)
    for number in range(len(before) - 1, -1, -1):  # from the last on, so that the places of the others stay right
        if before[number] in attested:
            text = _unattested(text, number, policy)
        if lines := _lines(before[number], identities, ends, attested):
            text = with_lines(text, number, lines) or ""
    text = text.rstrip() + "\n" + "".join("\n" + entry_of(key) for key in keys)
    if list(parse_policy(text, str(policy)).keys) != wanted:  # whatever a TOML file may hide an entry in
        raise _not_plain(policy)
    write_policy(policy, text)


def _not_plain(policy: Path) -> TrustFileError:
    way_out = "write identity, valid_to, held, evidence into its entries by hand, or make them plain [[key]] tables"
    return TrustFileError(str(policy), "", "has entries that are not plain [[key]] tables", way_out)


def _changed(
    key: TrustKey, identities: Mapping[TrustKey, str], ends: Mapping[TrustKey, End],
    attested: Mapping[TrustKey, Held | None],
) -> TrustKey:  # fmt: skip
    valid_to = ends[key].valid_to if key in ends else key.valid_to
    identity, held = identities.get(key, key.identity), attested.get(key, key.held)
    return replace(key, identity=identity, valid_to=valid_to, held=held)


def _lines(
    key: TrustKey, identities: Mapping[TrustKey, str], ends: Mapping[TrustKey, End],
    attested: Mapping[TrustKey, Held | None],
) -> str:  # fmt: skip
    """What is added to the entry of a key."""
    identity = f"identity = {quoted(identities[key])}\n" if key in identities else ""
    end = f"valid_to = {rfc3339(ends[key].valid_to)}  # retired: {ends[key].reason}\n" if key in ends else ""
    held = attested.get(key)
    return end + identity + ("" if held is None else held_lines(held))


def _unattested(text: str, number: int, policy: Path) -> str:
    """The text without what ``[[key]]`` entry ``number`` says of where its key is held; ``TrustFileError`` where that
    does not stand in lines of its own."""
    headers = list(_ENTRY.finditer(text))
    if number >= len(headers):
        raise _not_plain(policy)
    begin = headers[number].end()
    following = _TABLE.search(text, begin)
    end = len(text) if following is None else following.start()
    without = text[:begin] + _ATTESTATION.sub("", text[begin:end]) + text[end:]
    try:
        key = parse_policy(without, str(policy)).keys[number]
    except TrustFileError:
        raise _not_plain(policy) from None
    if key.held is not None:
        raise _not_plain(policy)
    return without


def with_lines(text: str, number: int, lines: str) -> str | None:
    """The text with more lines in its ``[[key]]`` entry ``number`` (0 is the first); ``None`` if there is none."""
    text = text if text.endswith("\n") else text + "\n"
    headers = list(_ENTRY.finditer(text))
    if number >= len(headers):
        return None
    end = headers[number].end()
    return text[:end] + lines + text[end:]


def write_policy(path: Path, text: str) -> None:
    """Replace a policy file, durably; raises ``TrustFileError`` where the disk does not take it."""
    try:
        write_text(path, text)
    except OSError as error:
        way_out = "nothing has changed; see that its disk has room and that this user may write in its folder"
        raise TrustFileError(str(path), "", f"cannot be written ({error.strerror})", way_out) from None


def _read_text(path: Path) -> str:
    try:
        return text_of(path.read_bytes())
    except OSError as error:
        way_out = "give the path of a file that exists and may be read"
        raise TrustFileError(str(path), "", f"cannot be read ({error.strerror})", way_out) from None
    except NotText as error:
        raise TrustFileError(str(path), "", error.sentence) from None


def _parse_keys(text: str, source: str) -> tuple[dict[str, object], tuple[TrustKey, ...]]:
    """The document and its ``[[key]]`` entries, of a file with or without a ``[policy]``."""
    try:
        document = toml_of(text)
    except NotToml as error:
        raise TrustFileError(source, "", Message("trust-not-toml", error=error.sentence)) from None
    return document, parse_trust(text, source, anchored=False, of_ledger=True).keys
