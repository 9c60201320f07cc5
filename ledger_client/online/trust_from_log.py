"""Trust file from a ledger's log: made or compared, proven against a trusted key of the ledger. Network.

``made`` writes one, ``compared`` says how one that is there differs from the log. Needs the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger_client.enrolment.trust_entries import in_words, keys_of
from ledger_client.errors import TrustFileError
from ledger_client.formats.checks import MAX_TIME_S
from ledger_client.formats.cose_key import base64url
from ledger_client.online.key_log import ask
from ledger_client.times import rfc3339
from ledger_client.transparency.policy.key_entries import owner
from ledger_client.transparency.policy.key_list import Proven
from ledger_client.transport.access import Access
from ledger_client.verification.key_storage import held_in_words
from ledger_client.verification.trust import Held, Trust, TrustKey
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import entry_of, moment, quoted
from ledger_client.verification.witnesses import LogKey, entries_of


def pinned_in(path: Path) -> tuple[str, list[TrustKey]]:
    """The one ledger that a file names, and its keys that are not revoked; raises ``TrustFileError``."""
    keys = [key for key in keys_of(path) if key.role == "ledger" and key.revoked is None]
    names = sorted({key.ledger or "" for key in keys})
    if len(names) != 1:
        problem = f"has keys of the ledgers {', '.join(names)}" if names else "has no key of a ledger that counts"
        way_out = "give the [[key]] entries of one ledger, as `meterseal-ledger show LDIR --trust` prints them"
        raise TrustFileError(str(path), "", problem, way_out)
    return names[0], keys


def made(
    url: str, whom: Sequence[str], ledger_key: Path, max_delay: str, days: int, access: Access | None = None
) -> tuple[str, list[Proven]]:
    """The text of a trust file for these gateways and parties (``gateway/NAME``, ``party/NAME``), from the log at
    ``url``, and what was proven. ``max_delay``: how late its records may be there, as ``"8d"``; ``days``: how long it
    counts from the time of the log on. What ``ledger_key`` says of where the ledger's keys are held is taken over: no
    log says it of its own.

    Raises ``TrustFileError``, ``LedgerUnavailable``, ``VerificationError``.
    """
    ledger, pinned = pinned_in(ledger_key)
    proven = [ask(url, ledger, one, [key.key for key in pinned], access=access) for one in whom]
    for asked, one in zip(whom, proven, strict=True):
        if not one.keys:
            way_out = "compare its name with `meterseal-ledger show LDIR`, or have it enrolled"
            raise TrustFileError(url, "", f"the log of {ledger} tells of no {asked.replace('/', ' ')}", way_out)
    text = _head(url, ledger, whom, proven, max_delay, days) + "".join(
        "\n" + entry_of(key) for key in (*_ledger_keys(proven, pinned), *(key for one in proven for key in one.keys))
    )
    text += "".join("\n" + entry for entry in entries_of(_log_keys(proven)))
    parse_trust(text, url)
    return text, proven


def compared(trust: Trust, ledger: str, url: str, access: Access | None = None) -> Iterator[str]:
    """How a trust file differs from what the log of ``ledger`` tells of its gateways and parties: one sentence each."""
    pinned = [key.key for key in trust.keys if key.ledger == ledger and key.revoked is None]
    if not pinned:
        yield f"no key of ledger {ledger} counts here, so that nothing it shows can be believed"
        return
    whom = sorted({owner(key) for key in trust.keys if key.ledger is None})
    proven = [ask(url, ledger, one, pinned, access=access) for one in whom]
    there = {key.place: key for key in trust.keys}
    shown = [*_ledger_keys(proven, trust.keys), *(key for one in proven for key in one.keys)]
    for key in shown:
        mine = there.get(key.place)
        if mine is None:
            yield f"{in_words(key)} is in the log and not here"
        elif key.revoked is not None and (mine.revoked is None or mine.revoked > key.revoked):
            yield f"{in_words(key)} was revoked at {rfc3339(key.revoked)}, and here it is not"
        elif key.valid_to is not None and (mine.valid_to is None or mine.valid_to > key.valid_to):
            yield f"{in_words(key)} counts until {rfc3339(key.valid_to)}, and here for longer"
        elif None not in (key.identity, mine.identity) and key.identity != mine.identity:
            yield f"{in_words(key)} is for the device {key.identity}, and here for {mine.identity}"
        elif mine.held != key.held and ledger in (held.by for held in (mine.held, key.held) if held is not None):
            yield f"{in_words(key)} is in {_held(key.held)}, and here in {_held(mine.held)}"
    here = {log.vkey.text for log in trust.logs if log.ledger == ledger}
    in_log = {log.vkey.text for log in _log_keys(proven)} if proven else here
    for vkey in sorted(in_log - here) if trust.witnessed else ():
        yield f"the key of its checkpoints {vkey} is in the log and not here"
    for vkey in sorted(here - in_log):
        yield f"the key of its checkpoints {vkey} is here and not in the log"
    known = {key.place for key in shown}
    for key in trust.keys:
        if key.ledger in (None, ledger) and key.place not in known:
            yield f"{in_words(key)} is here and not in the log"


def _ledger_keys(proven: Sequence[Proven], known: Sequence[TrustKey]) -> list[TrustKey]:
    """The ledger's own keys, as the newest answer tells them, each held as the known one is."""
    if not proven:
        return []
    newest = max(proven, key=lambda one: one.count.size)
    held = {key.key.kid: key.held for key in known}
    name = newest.count.ledger
    return [
        TrustKey("ledger", k.key, None, None, name, k.key.kid, k.since, k.until, None, None, held=held.get(k.key.kid))
        for k in newest.ledger_keys
    ]


def _held(held: Held | None) -> str:
    """With the evidence."""
    return held_in_words(held) + ("" if held is None or held.evidence is None else f" for “{held.evidence}”")


def _log_keys(proven: Sequence[Proven]) -> list[LogKey]:
    """The keys of the log's checkpoints, as the newest answer tells them."""
    newest = max(proven, key=lambda one: one.count.size)
    return [LogKey(newest.count.ledger, vkey) for vkey in newest.checkpoint_keys]


def _head(url: str, ledger: str, whom: Sequence[str], proven: Sequence[Proven], max_delay: str, days: int) -> str:
    newest = max(proven, key=lambda one: one.count.size).count
    oldest = min(one.count.iat for one in proven)
    expires = min(oldest + days * 86_400, MAX_TIME_S)
    return (
        f"# Whom to believe about {', '.join(whom)}, from the log of ledger {ledger}:\n"
        f"# {newest.size} entries at {rfc3339(newest.iat)}, root {base64url(newest.root)}.\n"
        f"# Keys that are revoked later: meterseal-ledger trust check trust.toml --ledger {ledger}={url}\n"
        f"\n[policy]\nreceipts = 1\nledgers = [{quoted(ledger)}]\nmax_delay = {quoted(max_delay)}\n"
        f"made = {moment(oldest)}\nexpires = {moment(expires)}\n"
    )
