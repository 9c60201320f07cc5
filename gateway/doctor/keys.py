"""Doctor check of the private keys: presence, file mode, and validity by the trust file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.config.device_keys import STATEMENT, key_files
from gateway.doctor.finding import CheckContext, Finding
from gateway.process.file_owner import is_there
from gateway.recording.key_match import copy_entry
from ledger_client.errors import KeyFileError
from ledger_client.formats.cose_key import Signer, load_private_key
from ledger_client.times import rfc3339
from ledger_client.verification.trust import Trust

SOON_S = 30 * 86_400
"""A key that ends within so many seconds is worth a warning."""


def keys(case: CheckContext) -> Iterator[Finding]:
    """Whether every private key is there, and the trust file knows it and believes it now."""
    if case.trust_trouble is not None:
        error = case.trust_trouble
        words = (error.source, error.key, error.problem)
        yield Finding("trust file", "bad", ": ".join(filter(None, words)), error.way_out)
    good, bad = 0, False
    for name, path in key_files(case.config).items():
        finding = _key(case, name, path)
        good += finding is None
        if finding is not None:
            bad = bad or finding.result == "bad"
            yield finding
    if not bad:
        known = f", all of them in {case.config.trust}" if case.trust is not None else ""
        yield Finding("keys", "ok", f"{good} private keys in {case.config.keys}, for their owner only{known}")


def _key(case: CheckContext, name: str, path: Path) -> Finding | None:
    whose = "statement key" if name == STATEMENT else f"key of meter {name}"
    try:
        key = load_private_key(path)
    except KeyFileError as error:
        missing = f"meterseal keys {case.config.path} --make-missing"
        return Finding(
            "keys", "bad", f"{whose}: {error.problem} ({path})", error.way_out if is_there(path) else missing
        )
    return _believed(case, case.trust, whose, name, key) if case.trust is not None else None


def _believed(case: CheckContext, trust: Trust, whose: str, name: str, key: Signer) -> Finding | None:
    config, now_s = case.config, case.now_ms // 1000
    role, meter = ("statement", None) if name == STATEMENT else ("meter", name)
    entry = trust.find(role, gateway=config.gateway_id, meter=meter, kid=key.public.kid)
    if entry is None:
        text = f"{whose}: {config.trust} has no entry for it, so that nothing signed with it can be verified"
        return Finding("keys", "bad", text, copy_entry(config))
    renew = "make a new key, add it to the trust file, and hand it to ledger and verifiers"
    if entry.revoked is not None and entry.revoked <= now_s:
        return Finding("keys", "bad", f"{whose}: was revoked at {rfc3339(entry.revoked)}", renew)
    if now_s < entry.valid_from:
        text = f"{whose}: counts only from {rfc3339(entry.valid_from)} on"
        return Finding("keys", "bad", text, "look at the clock, or at valid_from in the trust file")
    if entry.valid_to is not None and entry.valid_to - now_s < SOON_S:
        over = entry.valid_to <= now_s
        return Finding("keys", "bad" if over else "warn", f"{whose}: counts until {rfc3339(entry.valid_to)}", renew)
    return None
