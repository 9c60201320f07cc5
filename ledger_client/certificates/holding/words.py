"""Deeds of claims in a few words. Pure."""

from __future__ import annotations

from ledger_client.claims.claim import Attest, Balance, Deed, Export, Issue, Retire, Transfer, Withdraw
from ledger_client.times import rfc3339_ms


def in_words(deed: Deed) -> str:
    """A deed in a few words."""
    match deed:
        case Transfer(cert, (begin, end), to):
            return f"transfer {cert.hex()}:{begin}-{end} to {to}"
        case Retire(cert, (begin, end), purpose):
            return f"retire {cert.hex()}:{begin}-{end} for {purpose}"
        case Export(cert, (begin, end), other, reference):
            return f"export {cert.hex()}:{begin}-{end} to {other} as {reference}"
        case Withdraw(cert, reason):
            return f"withdraw {cert.hex()}: {reason}"
        case Attest(period, level, verdict):
            return f"attest {period.hex()}: {level}, {verdict}"
        case Issue(origin, units, to):
            return f"issue {units} Wh of {origin.device} to {to}"
        case Balance(from_ms, to_ms):
            return f"balance of {rfc3339_ms(from_ms)} to {rfc3339_ms(to_ms)}"
