"""Ledgers' lists of keys, asked whether a gateway's next key counts there. Network."""

from __future__ import annotations

from gateway.config.device_keys import load_site_trust
from gateway.config.key_folder import STATEMENT
from gateway.config.ledger import LedgerEntry, access_of
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.errors import LedgerError, VerificationError
from ledger_client.formats.cose_key import PublicKey, base64url
from ledger_client.messages import sentence_of
from ledger_client.verification.trust import Trust


def demand_listed(config: Config, name: str, key: PublicKey, request: str, now_s: int) -> None:
    """That each ledger of the configuration lists an owner's next key as one that counts at a time (Unix seconds), by
    its proven log. A contract on a chain knows no keys, and is not asked. Raises GatewayError, TrustFileError."""
    trust = load_site_trust(config)
    for entry in config.document.ledger:
        if entry.type != "evm" and not _lists(config, entry, trust, name, key, now_s):
            kid = base64url(key.kid)
            raise GatewayError(Message("rotate-not-listed", ledger=entry.name, name=name, kid=kid, request=request))


def _lists(config: Config, entry: LedgerEntry, trust: Trust, name: str, key: PublicKey, now_s: int) -> bool:
    if entry.type == "mqtt":
        why = Message("rotate-no-list")
        raise GatewayError(Message("rotate-ledger-not-asked", ledger=entry.name, why=why))
    from ledger_client.online.key_log import ask  # requests, which other commands need not load
    from ledger_client.transparency.policy.policy_file import flaw_at

    pinned = [one.key for one in trust.keys if one.ledger == entry.name and one.revoked is None]
    whom, access, timeout_s = f"gateway/{config.gateway_id}", access_of(config.path, entry), entry.timeout / 1000
    try:
        shown = ask(entry.url, entry.name, whom, pinned, access=access, timeout_s=timeout_s).keys
    except (LedgerError, VerificationError) as error:
        raise GatewayError(Message("rotate-ledger-not-asked", ledger=entry.name, why=sentence_of(error))) from None
    owner = ("statement", None) if name == STATEMENT else ("meter", name)
    return any(one.kid == key.kid and (one.role, one.meter) == owner and flaw_at(one, now_s) is None for one in shown)
