"""Whose statements a ledger takes: ``policy.toml``, the ``[[key]]`` entries of gateways' statement keys.

The entries are those of a trust file, so that what a gateway publishes can be enrolled as it is. A running ledger reads
the file again when it has changed; ``enroll`` and ``revoke`` only ever add to it, so what the operator wrote stays.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger_client.durable import write_text
from ledger_client.errors import TrustFileError
from ledger_client.text_file import UTF8, NotText, NotToml, text_of, toml_of
from ledger_client.trust import TrustKey, key_entry, parse_trust
from ledger_client.verify import rfc3339

_LOG = logging.getLogger("meterseal.ledger")
EMPTY_POLICY = """\
# Statement keys of the gateways whose batches this ledger takes. `meterseal-ledger enroll` adds to this file, and a
# running ledger picks up every change. `meterseal-ledger revoke` adds `revoked` and `revoked_reason` to a key's entry.
"""
# parse_trust demands a [policy], which here says nothing; at the end, so that line numbers in its errors stay right
_NO_POLICY = '\n[policy]\nreceipts = 1\nledgers = ["none"]\n'


class Policy:
    """The statement keys that are enrolled."""

    def __init__(self, keys: tuple[TrustKey, ...]) -> None:
        self.keys = keys
        self._index = {(key.gateway, key.kid): key for key in keys}

    def find(self, gateway: str, kid: bytes) -> TrustKey | None:
        """The enrolled key of a gateway with this kid."""
        return self._index.get((gateway, kid))


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
    """``policy.toml`` as it is now; safe to ask from any thread.

    A file that cannot be understood, or is gone, changes nothing: the policy before it stays in force, and ``flaw``
    says so, until there is a file in order again. So a slip of the editor neither opens the ledger nor closes it.
    """

    def __init__(self, path: Path) -> None:
        """Raises ``TrustFileError`` if the file is not in order: then there is no policy before it."""
        self._path = path
        self._lock = threading.Lock()
        self._mark = self._look()
        self._policy = load_policy(path)
        self.flaw: str | None = None

    def current(self) -> Policy:
        """The policy in force; the file is read again if it has changed."""
        with self._lock:
            mark = self._look()  # taken first: what changes while we read is seen the next time
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

    def _look(self) -> tuple[int, int, int] | None:
        try:
            state = self._path.stat()
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
        way_out = "only [[key]] entries of role statement belong here"
        raise TrustFileError(source, "policy" if "policy" in document else "chain", "unknown key", way_out)
    for number, key in enumerate(keys, start=1):
        if key.role != "statement":
            raise TrustFileError(source, f"key {number}.role", f"is {key.role!r}", "enrol statement keys only")
    return Policy(keys)


def enroll(policy: Path, offered: Path) -> tuple[list[TrustKey], list[TrustKey]]:
    """Add the statement keys of a gateway's public file to a policy, durably; returns (new ones, those there already).

    A key that is there stays as it is: enrolling never changes its validity and never takes back that it was revoked.
    Raises ``TrustFileError`` and changes nothing when either file is not in order.
    """
    keys = [key for key in _parse_keys(_read_text(offered), str(offered))[1] if key.role == "statement"]
    if not keys:
        way_out = "give the gateway's gateway.pub.toml, made by `meterseal init`"
        raise TrustFileError(str(offered), "key", "no entry of role statement", way_out)
    with alone(policy.parent):
        enrolled = load_policy(policy)
        new = [key for key in keys if enrolled.find(key.gateway or "", key.kid) is None]
        if new:
            text = policy.read_text(encoding="utf-8").rstrip() + "\n"
            write_policy(policy, text + "".join("\n" + _entry(key) for key in new))
    return new, [key for key in keys if key not in new]


def write_policy(path: Path, text: str) -> None:
    """Replace a policy file, durably; raises ``TrustFileError`` where the disk does not take it."""
    try:
        write_text(path, text)
    except OSError as error:
        way_out = "nothing has changed; see that its disk has room and that this user may write in its folder"
        raise TrustFileError(str(path), "", f"cannot be written ({error.strerror})", way_out) from None


def _entry(key: TrustKey) -> str:
    text = key_entry("statement", key.key, key.valid_from, gateway=key.gateway, valid_to=key.valid_to)
    if key.revoked is not None:
        text += f"revoked = {rfc3339(key.revoked)}\n"
    if key.revoked_reason is not None:
        text += f"revoked_reason = {quoted(key.revoked_reason)}\n"
    return text


def quoted(text: str) -> str:
    """A TOML basic string: JSON's, but with no surrogate pairs and DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read_text(path: Path) -> str:
    try:
        return text_of(path.read_bytes())
    except OSError as error:
        way_out = "give the path of a file that exists and may be read"
        raise TrustFileError(str(path), "", f"cannot be read ({error.strerror})", way_out) from None
    except NotText as error:
        raise TrustFileError(str(path), "", error.problem, UTF8) from None


def _parse_keys(text: str, source: str) -> tuple[dict[str, object], tuple[TrustKey, ...]]:
    """The document and its ``[[key]]`` entries, of a file with or without a ``[policy]``."""
    try:
        document = toml_of(text)
    except NotToml as error:
        raise TrustFileError(source, "", f"is not TOML: {error}", "correct that line") from None
    return document, parse_trust(text if "policy" in document else text + _NO_POLICY, source).keys


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One who changes the policy at a time in a ledger's folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
