"""Enrolment request of a party (``NAME.enrol``): its name, its role and the key that it signs claims with.

Signed by that key, and by the one before where it replaces one. Takes and gives bytes; the form is in
docs/evidence.cddl.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger_client.enrolment.proofs import key_of, opened, sealed
from ledger_client.enrolment.request import Enrolment, enrolment_of
from ledger_client.errors import Malformed
from ledger_client.formats.checks import name, table, text, time_s, writing
from ledger_client.formats.cose_key import PublicKey, Signer
from ledger_client.verification.trust import PARTY_ROLES


@dataclass(frozen=True, slots=True)
class PartyEnrolment:
    """What is asked for: ``role`` is one of ``PARTY_ROLES``, ``time`` in Unix seconds by the party's clock, ``before``
    its key until now."""

    party: str
    role: str
    time: int
    key: PublicKey
    before: PublicKey | None = None

    def signing_keys(self) -> list[PublicKey]:
        """The keys that sign, in the order of their proofs."""
        return [self.key, *([] if self.before is None else [self.before])]


def sign_party(enrolment: PartyEnrolment, signers: Mapping[bytes, Signer]) -> bytes:
    """Write a request and have each of its keys sign; ``signers`` by kid. ``EncodeError`` for what a reader refuses."""
    fields: dict[str, Any] = {
        "time": enrolment.time, "party": enrolment.party, "role": enrolment.role, "key": enrolment.key.cose_key,
    }  # fmt: skip
    if enrolment.before is not None:
        fields["before"] = enrolment.before.cose_key
    with writing(f"enrolment request of {enrolment.party}"):
        _party(fields)
    return sealed(fields, enrolment.signing_keys(), signers)


def parse_any(data: bytes) -> Enrolment | PartyEnrolment:
    """Read the request of a gateway or of a party, as bytes or as text, and check every proof.

    Raises ``Malformed`` or ``BadSignature``.
    """
    return opened(data, _either)


def _either(value: object) -> Enrolment | PartyEnrolment:
    return _party(value) if isinstance(value, dict) and "party" in value else enrolment_of(value)


def _party(value: object) -> PartyEnrolment:
    fields = table(value, "enrolment", {"time", "party", "role", "key"}, {"before"})
    role = text(fields["role"], "role")
    if role not in PARTY_ROLES:
        raise Malformed(f"role is {role!r}, not one of {', '.join(PARTY_ROLES)}")
    key = key_of(fields["key"], "key")
    before = key_of(fields["before"], "before") if "before" in fields else None
    if before is not None and before.kid == key.kid:
        raise Malformed("the key before is the key itself")
    return PartyEnrolment(name(fields["party"], "party"), role, time_s(fields["time"], "time"), key, before)
