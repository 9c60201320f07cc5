"""Verification in programs of others: the names that stay (docs/verifier.md), each loaded when it is used.

It needs no network, no database and no event loop. Modules of this package import from the rooms, never from here.
"""

TYPE_CHECKING = False  # `typing` would be loaded by every command

if TYPE_CHECKING:
    from ledger_client.errors import TrustFileError as TrustFileError
    from ledger_client.errors import VerificationError as VerificationError
    from ledger_client.formats.record import Coverage as Coverage
    from ledger_client.formats.record import Event as Event
    from ledger_client.formats.senml import Reading as Reading
    from ledger_client.verification.trust import Trust as Trust
    from ledger_client.verification.trust_dates import demand_in_force as demand_in_force
    from ledger_client.verification.trust_file import load_trust as load_trust
    from ledger_client.verification.verify import Verified as Verified
    from ledger_client.verification.verify import verify as verify
else:

    def __getattr__(name: str) -> object:
        """A name of ``__all__`` when it is asked for the first time."""
        if name not in __all__:
            raise AttributeError(f"module 'ledger_client' has no attribute {name!r}")
        from ledger_client import errors
        from ledger_client.formats import record
        from ledger_client.verification import trust, trust_dates, trust_file
        from ledger_client.verification import verify as verification

        for module in (errors, record, trust, trust_dates, trust_file, verification):
            if name in vars(module):
                break
        globals()[name] = found = vars(module)[name]
        return found


__all__ = [
    "Coverage",
    "Event",
    "Reading",
    "Trust",
    "TrustFileError",
    "VerificationError",
    "Verified",
    "demand_in_force",
    "load_trust",
    "verify",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
