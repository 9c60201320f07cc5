"""Whose statements a ledger takes: ``policy.toml``, the ``[[key]]`` entries of gateways' statement keys.

The entries are those of a trust file, so that what a gateway publishes can be enrolled as it is. A running ledger reads
the file again when it has changed; ``enroll`` only ever adds to it, so what the operator wrote there stays.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger_client.durable import write_text
from ledger_client.errors import TrustFileError
from ledger_client.trust import TrustKey, key_entry, parse_trust
from ledger_client.verify import rfc3339

EMPTY_POLICY = """\
# Statement keys of the gateways whose batches this ledger takes. `meterseal-ledger enroll` adds to this file, and a
# running ledger picks up every change. To revoke a key, add to its entry:
#   revoked = 2026-11-24T12:00:00Z
#   revoked_reason = "…"
"""
# parse_trust demands a [policy], which here says nothing; at the end, so that line numbers in its errors stay right
_NO_POLICY = '\n[policy]\nreceipts = 1\nledgers = ["none"]\n'


@dataclass(frozen=True, slots=True)
class Policy:
    """The statement keys that are enrolled."""

    keys: tuple[TrustKey, ...]

    def find(self, gateway: str, kid: bytes) -> TrustKey | None:
        """The enrolled key of a gateway with this kid."""
        return next((key for key in self.keys if (key.gateway, key.kid) == (gateway, kid)), None)


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
    """``policy.toml`` as it is now; safe to ask from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int, int], Policy] | None = None

    def current(self) -> Policy:
        """The policy, read again if the file has changed; raises ``TrustFileError`` while it cannot be understood."""
        with self._lock:
            try:
                state = self._path.stat()
            except OSError as error:
                raise TrustFileError(str(self._path), "", error.strerror or "unreadable", "restore it") from None
            mark = (state.st_ino, state.st_mtime_ns, state.st_size)  # taken first: what changes while we read is seen
            if self._read is None or self._read[0] != mark:
                self._read = mark, load_policy(self._path)
            return self._read[1]


def load_policy(path: Path) -> Policy:
    """Read a policy file; raises ``TrustFileError`` with file, key and the way out."""
    document, keys = _read_keys(path)
    if "policy" in document or "chain" in document:
        way_out = "only [[key]] entries of role statement belong here"
        raise TrustFileError(str(path), "policy" if "policy" in document else "chain", "unknown key", way_out)
    for number, key in enumerate(keys, start=1):
        if key.role != "statement":
            raise TrustFileError(str(path), f"key {number}.role", f"is {key.role!r}", "enrol statement keys only")
    return Policy(keys)


def enroll(policy: Path, offered: Path) -> tuple[list[TrustKey], list[TrustKey]]:
    """Add the statement keys of a gateway's public file to a policy, durably; returns (new ones, those there already).

    A key that is there stays as it is: enrolling never changes its validity and never takes back that it was revoked.
    Raises ``TrustFileError`` and changes nothing when either file is not in order.
    """
    keys = [key for key in _read_keys(offered)[1] if key.role == "statement"]
    if not keys:
        way_out = "give the gateway's gateway.pub.toml, made by `meterseal init`"
        raise TrustFileError(str(offered), "key", "no entry of role statement", way_out)
    with _alone(policy.parent):
        enrolled = load_policy(policy)
        new = [key for key in keys if enrolled.find(key.gateway or "", key.kid) is None]
        if new:
            text = policy.read_text(encoding="utf-8").rstrip() + "\n"
            write_text(policy, text + "".join("\n" + _entry(key) for key in new))
    return new, [key for key in keys if key not in new]


def _entry(key: TrustKey) -> str:
    text = key_entry("statement", key.key, key.valid_from, gateway=key.gateway, valid_to=key.valid_to)
    if key.revoked is not None:
        text += f"revoked = {rfc3339(key.revoked)}\n"
    if key.revoked_reason is not None:
        text += f"revoked_reason = {_quoted(key.revoked_reason)}\n"
    return text


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's, but with no surrogate pairs and DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read_keys(path: Path) -> tuple[dict[str, object], tuple[TrustKey, ...]]:
    """The document and its ``[[key]]`` entries, of a file with or without a ``[policy]``."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        way_out = "give the path of a file that exists and may be read"
        raise TrustFileError(str(path), "", f"cannot be read ({error.strerror})", way_out) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrustFileError(str(path), "", f"is not TOML: {error}", "correct that line") from None
    return document, parse_trust(text if "policy" in document else text + _NO_POLICY, str(path)).keys


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One enroller at a time in a ledger's folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
