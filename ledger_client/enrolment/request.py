"""Enrolment request of a gateway (``.enrol``): the keys that it asks a ledger to enrol, signed by each of them.

The request names gateway, time, statement key, and meters with their keys and identities. Where the statement key is
another one than before, the key before signs, too. Takes and gives bytes; the form is in docs/evidence.cddl.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger_client.enrolment.proofs import key_of, opened, sealed
from ledger_client.errors import Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import name, table, text, time_s, writing
from ledger_client.formats.cose_key import PublicKey, Signer
from ledger_client.formats.record import GATEWAY_ITSELF

MAX_IDENTITY: Final = 256  # characters
MAX_METERS: Final = 4096


@dataclass(frozen=True, slots=True)
class MeterKey:
    """A meter's key, and the identity of the device where it is known ("serial_number=4711")."""

    key: PublicKey
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What is asked for: ``time`` in Unix seconds by the gateway's clock; ``before`` is the statement key until now."""

    gateway: str
    time: int
    statement: PublicKey
    meters: Mapping[str, MeterKey] = field(default_factory=dict)
    before: PublicKey | None = None

    def signing_keys(self) -> list[PublicKey]:
        """The keys that sign, in the order of their proofs: statement key, meters as encoded, the one before."""
        meters = [meter.key for _, meter in sorted(self.meters.items(), key=lambda item: cbor.encode(item[0]))]
        return [self.statement, *meters, *([] if self.before is None else [self.before])]


def sign_request(enrolment: Enrolment, signers: Mapping[bytes, Signer]) -> bytes:
    """Write a request and have each of its keys sign; ``signers`` by kid. ``EncodeError`` for what a reader refuses."""
    fields: dict[str, Any] = {
        "time": enrolment.time,
        "meters": {meter: _meter_fields(facts) for meter, facts in enrolment.meters.items()},
        "gateway": enrolment.gateway,
        "statement": enrolment.statement.cose_key,
    }
    if enrolment.before is not None:
        fields["before"] = enrolment.before.cose_key
    with writing(f"enrolment request of {enrolment.gateway}"):
        enrolment_of(fields)
    return sealed(fields, enrolment.signing_keys(), signers)


def parse_request(data: bytes) -> Enrolment:
    """Read a gateway's request, as bytes or as text, and check every proof; ``Malformed`` or ``BadSignature``."""
    return opened(data, enrolment_of)


def enrolment_of(value: object) -> Enrolment:
    """The contents of a gateway's request; ``Malformed``."""
    fields = table(value, "enrolment", {"time", "meters", "gateway", "statement"}, {"before"})
    if type(fields["meters"]) is not dict or len(fields["meters"]) > MAX_METERS:
        raise Malformed(f"meters is not a map of at most {MAX_METERS}")
    meters = {name(meter, "a meter"): _meter(facts, meter) for meter, facts in fields["meters"].items()}
    if GATEWAY_ITSELF in meters:
        raise Malformed(f"no meter is called {GATEWAY_ITSELF!r}")
    before = key_of(fields["before"], "before") if "before" in fields else None
    statement = key_of(fields["statement"], "statement")
    enrolment = Enrolment(name(fields["gateway"], "gateway"), time_s(fields["time"], "time"), statement, meters, before)
    kids = [key.kid for key in enrolment.signing_keys()]
    if len(set(kids)) != len(kids):
        raise Malformed("one key stands in two places; each meter and the gateway need a key of their own")
    return enrolment


def _meter(value: object, meter: str) -> MeterKey:
    fields = table(value, f"meter {meter}", {"key"}, {"identity"})
    identity = text(fields["identity"], "identity", MAX_IDENTITY) if "identity" in fields else None
    if identity is not None and not identity.isprintable():
        raise Malformed(f"the identity of meter {meter} is not printable")
    return MeterKey(key_of(fields["key"], f"key of meter {meter}"), identity)


def _meter_fields(meter: MeterKey) -> dict[str, object]:
    return {"key": meter.key.cose_key} | ({} if meter.identity is None else {"identity": meter.identity})
