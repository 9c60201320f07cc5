"""Enrolment request (``.enrol``): the keys that a gateway asks a ledger to enrol, signed by each of them.

A ``.enrol`` file holds the request (gateway, time, statement key, meters with their keys and identities) and one proof
a key: a COSE_Sign1 over the request, detached. So nobody enrols a key that he does not hold, or a file that was put
together from others. Where the statement key is another one than before, the key before signs, too. Takes and gives
bytes; the form is in docs/evidence.cddl.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ledger_client.errors import BadSignature, EncodeError, Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import MAX_BUNDLE, array, blob, name, table, text, time_s, uint, within, writing
from ledger_client.formats.cose_key import PublicKey, Signer, base64url, unbase64url
from ledger_client.formats.record import GATEWAY_ITSELF

CONTENT_REQUEST: Final = "application/vnd.meterseal.enrol-request+cbor"
TEXT_PREFIX: Final = "meterseal-enrol:"
"""How a request begins that is given as text: base64url without padding follows."""
MAX_IDENTITY: Final = 256  # characters
MAX_METERS: Final = 4096
_HEAD: Final = b"\xa3\x61v\x01\x66proofs"


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
        _enrolment(fields)
    request = cbor.encode(fields)
    if missing := [key.kid for key in enrolment.signing_keys() if key.kid not in signers]:
        raise EncodeError(f"the private half of {base64url(missing[0])} is not here, so that it cannot sign")
    header = {cose.CONTENT_TYPE: CONTENT_REQUEST}
    proofs = [cose.sign1(header, request, signers[key.kid], detached=True) for key in enrolment.signing_keys()]
    return cbor.encode({"v": 1, "proofs": proofs, "request": request})


def parse_request(data: bytes) -> Enrolment:
    """Read a request, as bytes or as text, and check every proof; ``Malformed`` or ``BadSignature``."""
    fields = table(
        cbor.decode(within(_bytes_of(data), MAX_BUNDLE, "the request")), "request", {"v", "proofs", "request"}
    )
    if uint(fields["v"], "v") != 1:
        raise Malformed(f"enrolment request of version {fields['v']}; this program reads 1")
    if type(fields["request"]) is not bytes:
        raise Malformed("request is not a byte string")
    enrolment = _enrolment(cbor.decode(fields["request"]))
    keys = enrolment.signing_keys()
    for proof, key in zip(array(fields["proofs"], "proofs", len(keys), len(keys)), keys, strict=True):
        _check(proof, fields["request"], key)
    return enrolment


def to_text(data: bytes) -> str:
    """A request as one line of text."""
    return TEXT_PREFIX + base64url(data)


def is_request(path: Path) -> bool:
    """Whether a file is meant as a request, in order or not; raises OSError."""
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith((_HEAD, TEXT_PREFIX.encode()))


def _bytes_of(data: bytes) -> bytes:
    """The CBOR of a request that may be text, with white space around it."""
    stripped = data.strip()
    if not stripped.startswith(TEXT_PREFIX.encode()):
        return data
    return unbase64url(stripped.removeprefix(TEXT_PREFIX.encode()).decode("ascii", "replace"))


def _check(proof: object, request: bytes, key: PublicKey) -> None:
    if type(proof) is not bytes:
        raise Malformed("a proof is not a byte string")
    sign1 = cose.Sign1.parse(proof)
    table(sign1.unprotected, "a proof's unprotected header", set())
    header = table(sign1.protected, "a proof's header", {cose.ALG, cose.CONTENT_TYPE, cose.KID})
    cose.header_alg(header)
    if header[cose.CONTENT_TYPE] != CONTENT_REQUEST:
        raise Malformed(f"content type {header[cose.CONTENT_TYPE]!r} is not {CONTENT_REQUEST}")
    if sign1.payload is not None:
        raise Malformed("a proof bears a payload of its own")
    if blob(header[cose.KID], "kid", 32) != key.kid:
        raise BadSignature(f"a proof is by another key than {base64url(key.kid)}, whose place it has")
    sign1.verify(key, request)


def _enrolment(value: object) -> Enrolment:
    fields = table(value, "enrolment", {"time", "meters", "gateway", "statement"}, {"before"})
    if type(fields["meters"]) is not dict or len(fields["meters"]) > MAX_METERS:
        raise Malformed(f"meters is not a map of at most {MAX_METERS}")
    meters = {name(meter, "a meter"): _meter(facts, meter) for meter, facts in fields["meters"].items()}
    if GATEWAY_ITSELF in meters:
        raise Malformed(f"no meter is called {GATEWAY_ITSELF!r}")
    before = _key(fields["before"], "before") if "before" in fields else None
    statement = _key(fields["statement"], "statement")
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
    return MeterKey(_key(fields["key"], f"key of meter {meter}"), identity)


def _meter_fields(meter: MeterKey) -> dict[str, object]:
    return {"key": meter.key.cose_key} | ({} if meter.identity is None else {"identity": meter.identity})


def _key(value: object, what: str) -> PublicKey:
    if type(value) is not bytes:
        raise Malformed(f"{what} is not a byte string")
    return PublicKey.from_cose_key(value)
