"""Claims of a certificate file on chains: what a contract ClaimRegistry holds of each, as online facts. Network."""

from __future__ import annotations

from collections.abc import Mapping

from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.claims.claim import SignedClaim, parse_claim
from ledger_client.errors import VerificationError
from ledger_client.formats.bundle import Locator
from ledger_client.ledgers.evm.proof import confirm_claim
from ledger_client.online.ask import TIMEOUT_S, Ways
from ledger_client.transport.access import Access
from ledger_client.verification.online_facts import ChainFact, OnlineFacts
from ledger_client.verification.trust import Trust


def refresh_claims(
    file: bytes,
    trust: Trust,
    nodes: Mapping[str, str],
    *,
    access: Access | None = None,
    timeout_s: float = TIMEOUT_S,
) -> OnlineFacts:
    """Ask about each claim of a certificate file that has a locator; nothing that a node says or fails to say raises.

    ``nodes``: registry's name → URL of a node of its chain. ``access`` is for those that speak https. Raises
    ``Malformed`` for a file that cannot be read.
    """
    ways = Ways(nodes, {}, access, timeout_s)
    claims = [(claim.locator, parse_claim(claim.entry)) for claim in CertificateFile.parse(file).claims]
    return OnlineFacts(places={place: asked(place, signed, trust, ways) for place, signed in claims if place})


def asked(place: Locator, signed: SignedClaim, trust: Trust, ways: Ways) -> ChainFact | VerificationError | str:
    """What a registry's chain holds of a claim, why that does not count, or why nobody could tell."""
    registries = [one for one in trust.registries if one.ledger == place.ledger]
    return ways.at(place, lambda node: confirm_claim(place, signed, registries, node))
