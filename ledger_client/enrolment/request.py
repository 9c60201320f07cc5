"""Enrolment request of a gateway (``.enrol``): the keys that it asks a ledger to enrol, signed by each of them.

The request names gateway, time, statement key, and meters with their keys and identities. Where a key takes the place
of another one, the key before signs, too. Keys that are destroyed are named with the time until which they count. Takes
and gives bytes; the form is in docs/evidence.cddl.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger_client.enrolment.proofs import key_of, opened, sealed
from ledger_client.errors import Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import array, blob, line, name, table, text, time_s, writing
from ledger_client.formats.cose_key import PublicKey, Signer
from ledger_client.formats.record import GATEWAY_ITSELF

MAX_IDENTITY: Final = 256  # characters
MAX_METERS: Final = 4096
MAX_RETIRED: Final = 500
MAX_REASON: Final = 256  # characters


@dataclass(frozen=True, slots=True)
class MeterKey:
    """A meter's key, the identity of the device where it is known ("serial_number=4711"), and the key until now where
    this one is to take its place."""

    key: PublicKey
    identity: str | None = None
    before: PublicKey | None = None


@dataclass(frozen=True, slots=True)
class RetiredKey:
    """A key that was destroyed: it counts until ``time`` (Unix seconds), for this ``reason``."""

    kid: bytes
    time: int
    reason: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What is asked for: ``time`` in Unix seconds by the gateway's clock; ``before`` is the statement key until now."""

    gateway: str
    time: int
    statement: PublicKey
    meters: Mapping[str, MeterKey] = field(default_factory=dict)
    before: PublicKey | None = None
    retired: tuple[RetiredKey, ...] = ()

    def signing_keys(self) -> list[PublicKey]:
        """The keys that sign, in the order of their proofs: statement key, meters as encoded, then those before in the
        same order."""
        meters = [meter for _, meter in sorted(self.meters.items(), key=lambda item: cbor.encode(item[0]))]
        before = [self.before, *(meter.before for meter in meters)]
        return [self.statement, *(meter.key for meter in meters), *(key for key in before if key is not None)]


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
    if enrolment.retired:
        fields["retired"] = [{"kid": key.kid, "time": key.time, "reason": key.reason} for key in enrolment.retired]
    with writing(f"enrolment request of {enrolment.gateway}"):
        enrolment_of(fields)
    return sealed(fields, enrolment.signing_keys(), signers)


def parse_request(data: bytes) -> Enrolment:
    """Read a gateway's request, as bytes or as text, and check every proof; ``Malformed`` or ``BadSignature``."""
    return opened(data, enrolment_of)


def enrolment_of(value: object) -> Enrolment:
    """The contents of a gateway's request; ``Malformed``."""
    fields = table(value, "enrolment", {"time", "meters", "gateway", "statement"}, {"before", "retired"})
    if type(fields["meters"]) is not dict or len(fields["meters"]) > MAX_METERS:
        raise Malformed(f"meters is not a map of at most {MAX_METERS}")
    meters = {name(meter, "a meter"): _meter(facts, meter) for meter, facts in fields["meters"].items()}
    if GATEWAY_ITSELF in meters:
        raise Malformed(f"no meter is called {GATEWAY_ITSELF!r}")
    before = key_of(fields["before"], "before") if "before" in fields else None
    statement = key_of(fields["statement"], "statement")
    retired = tuple(map(_retired, array(fields["retired"], "retired", 1, MAX_RETIRED))) if "retired" in fields else ()
    gateway, time = name(fields["gateway"], "gateway"), time_s(fields["time"], "time")
    enrolment = Enrolment(gateway, time, statement, meters, before, retired)
    kids = [*(key.kid for key in enrolment.signing_keys()), *(key.kid for key in retired)]
    if len(set(kids)) != len(kids):
        raise Malformed("one key stands in two places; each meter and the gateway need a key of their own")
    return enrolment


def _retired(value: object) -> RetiredKey:
    fields = table(value, "a retired key", {"kid", "time", "reason"})
    reason = line(fields["reason"], "reason", MAX_REASON)
    return RetiredKey(blob(fields["kid"], "kid", 32), time_s(fields["time"], "time"), reason)


def _meter(value: object, meter: str) -> MeterKey:
    fields = table(value, f"meter {meter}", {"key"}, {"identity", "before"})
    identity = text(fields["identity"], "identity", MAX_IDENTITY) if "identity" in fields else None
    if identity is not None and not identity.isprintable():
        raise Malformed(f"the identity of meter {meter} is not printable")
    before = key_of(fields["before"], f"key before of meter {meter}") if "before" in fields else None
    return MeterKey(key_of(fields["key"], f"key of meter {meter}"), identity, before)


def _meter_fields(meter: MeterKey) -> dict[str, object]:
    before = None if meter.before is None else meter.before.cose_key
    fields = {"key": meter.key.cose_key, "identity": meter.identity, "before": before}
    return {field: value for field, value in fields.items() if value is not None}
