"""Doctor check of the private keys: presence, file mode, and validity by the trust file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gateway.config import token_key
from gateway.config.device_keys import REQUEST_FILE, STATEMENT, key_fault, key_files, key_names
from gateway.doctor.check import CheckContext, Finding, error_message
from gateway.errors import GatewayError
from gateway.evidence.key_match import listed_as_replaced, of_other_owner, replaced
from gateway.messages.message import Message
from gateway.process.file_owner import is_there
from ledger_client.errors import KeyFileError
from ledger_client.formats.cose_key import Signer, load_private_key
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_dates import ending

SOON_S = 30 * 86_400
"""Seconds before its expiry at which a key gives a warning."""


def keys(case: CheckContext) -> Iterator[Finding]:
    """Check that every private key exists or is in its token, was not replaced, and is listed and valid in the trust
    file."""
    if case.trust_trouble is not None:
        yield Finding("trust file", "bad", error_message(case.trust_trouble))
    elif case.trust is not None and (sentence := ending(case.trust, case.now_ms // 1000)) is not None:
        yield Finding("trust file", "warn", sentence)
    good, bad = 0, False
    for name in key_names(case.config):
        path = key_files(case.config).get(name)
        finding = _token(case) if path is None else _key(case, name, path)
        good += finding is None and path is not None
        if finding is not None:
            bad = bad or finding.result == "bad"
            yield finding
    if not bad:
        folder, trust = str(case.config.keys), str(case.config.trust)
        if case.trust is not None:
            yield Finding("keys", "ok", Message("keys-good-and-trusted", n=good, folder=folder, trust=trust))
        else:
            yield Finding("keys", "ok", Message("keys-good", n=good, folder=folder))
    yield from _claims(case)


def _claims(case: CheckContext) -> Iterator[Finding]:
    """Say where the statement key is kept if that is a token, and what the token says of it, which proves nothing."""
    uri = token_key.named(case.config)
    if uri is None:
        return
    try:
        claimed = token_key.loaded(case.config).claims
    except GatewayError:  # the check of the keys reports it
        return
    stated = tuple(f"{name} {'yes' if value else 'no'}" for name, value in sorted(claimed.items()))
    yield Finding("keys", "ok", Message("key-in-token", key=uri, claims=stated), {"claims": dict(claimed)})


def _token(case: CheckContext) -> Finding | None:
    """The statement key in its token."""
    try:
        key = token_key.loaded(case.config)
    except GatewayError as error:
        return Finding("keys", "bad", error_message(error))
    if case.store is not None:
        with suppress(GatewayError):  # the check of the database reports it
            for _, why in replaced(case.config, {STATEMENT: key.public.kid}, case.store):
                return Finding("keys", "bad", Message("key-file-of-other", path=str(case.config.path), what=why))
    whose = Message("key-of-statement")
    return _believed(case, case.trust, whose, STATEMENT, key) if case.trust is not None else None


def _key(case: CheckContext, name: str, path: Path) -> Finding | None:
    whose = Message("key-of-statement") if name == STATEMENT else Message("key-of-meter", meter=name)
    try:
        key = load_private_key(path)
    except KeyFileError as error:
        why = error_message(error)
        if is_there(path):
            return Finding("keys", "bad", Message("key-file-unusable", whose=whose, why=why))
        return Finding("keys", "bad", Message("key-file-missing", whose=whose, why=why, config=str(case.config.path)))
    if (gone := listed_as_replaced(case.config, name, key.public.kid)) is not None:
        return Finding("keys", "bad", Message("key-file-of-other", path=str(path), what=gone))
    if case.store is not None:
        with suppress(GatewayError):  # the check of the database reports it
            for _, why in replaced(case.config, {name: key.public.kid}, case.store):
                return Finding("keys", "bad", Message("key-file-of-other", path=str(path), what=why))
    return _believed(case, case.trust, whose, name, key) if case.trust is not None else None


def _believed(case: CheckContext, trust: Trust, whose: Message, name: str, key: Signer) -> Finding | None:
    config, now_s = case.config, case.now_ms // 1000
    role, meter = ("statement", None) if name == STATEMENT else ("meter", name)
    entry = trust.find(role, gateway=config.gateway_id, meter=meter, kid=key.public.kid)
    if entry is None and (other := of_other_owner(config, trust, name, key.public.kid)):
        return Finding("keys", "bad", Message("key-file-of-other", path=key_fault(config, name, "").file, what=other))
    if entry is None:
        request = str(config.keys / REQUEST_FILE)
        missing = Message("key-not-trusted", whose=whose, trust=str(config.trust), request=request)
        return Finding("keys", "bad", missing)
    if entry.revoked is not None and entry.revoked <= now_s:
        return Finding("keys", "bad", Message("key-revoked", whose=whose, revoked_s=entry.revoked))
    if now_s < entry.valid_from:
        return Finding("keys", "bad", Message("key-not-yet-valid", whose=whose, from_s=entry.valid_from))
    if entry.valid_to is not None and entry.valid_to - now_s < SOON_S:
        over = entry.valid_to <= now_s
        until = Message("key-valid-until", whose=whose, until_s=entry.valid_to)
        return Finding("keys", "bad" if over else "warn", until)
    return None
