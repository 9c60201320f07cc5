"""Answers of a registry over HTTP, as CBOR: a certificate with its slices and claims, lists of both. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ledger_client.claims.certificate import STATUSES, Certificate, Slice
from ledger_client.claims.claim import MAX_NUMBER
from ledger_client.errors import Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import array, blob, name, table, time_ms, uint

_KEYS: Final = {"id", "issuer", "holder", "device", "from", "to", "units", "period", "row"}


class Receipted(NamedTuple):
    """A claim of the log: its entry and its first receipt."""

    entry: bytes
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate as a registry shows it."""

    certificate: Certificate
    slices: tuple[Slice, ...]
    claims: tuple[Receipted, ...] = ()
    """All that are about it, in their order; a list of many certificates leaves them out."""


def encode_shown(shown: Shown) -> bytes:
    """One certificate with its claims."""
    return cbor.encode(_plain(shown) | {"claims": [list(claim) for claim in shown.claims]})


def parse_shown(data: bytes) -> Shown:
    """Read ``encode_shown``; Malformed."""
    return _shown(cbor.decode(data), claims=True)


def encode_list(many: Iterable[Shown]) -> bytes:
    """Several, without their claims."""
    return cbor.encode([_plain(shown) for shown in many])


def parse_list(data: bytes) -> list[Shown]:
    """Read ``encode_list``; Malformed."""
    return [_shown(one, claims=False) for one in array(cbor.decode(data), "certificates")]


def encode_party(following: int, role: str | None) -> bytes:
    """A party's next claim number, and its role by now."""
    return cbor.encode({"next": following, "role": role})


def parse_party(data: bytes) -> tuple[int, str | None]:
    """Read ``encode_party``; Malformed."""
    fields = table(cbor.decode(data), "party", {"next", "role"})
    role = fields["role"]
    return uint(fields["next"], "next", MAX_NUMBER), None if role is None else name(role, "role")


def _plain(shown: Shown) -> dict[str, Any]:
    made = shown.certificate
    return {
        "id": made.id, "issuer": made.issuer, "holder": made.holder, "device": made.device, "from": made.from_ms,
        "to": made.to_ms, "units": made.units, "period": made.period, "row": made.row,
        "slices": [[one.begin, one.end, one.status, one.holder] for one in shown.slices],
    }  # fmt: skip


def _shown(value: object, *, claims: bool) -> Shown:
    fields: Mapping[str, Any] = table(value, "certificate", _KEYS | {"slices"} | ({"claims"} if claims else set()))
    made = Certificate(
        blob(fields["id"], "id", 32), name(fields["issuer"], "issuer"), name(fields["holder"], "holder"),
        blob(fields["device"], "device", 32), time_ms(fields["from"], "from"), time_ms(fields["to"], "to"),
        uint(fields["units"], "units", MAX_NUMBER), blob(fields["period"], "period", 32),
        blob(fields["row"], "row", 32),
    )  # fmt: skip
    found = tuple(_receipted(one) for one in array(fields["claims"], "claims")) if claims else ()
    return Shown(made, tuple(_slice(one) for one in array(fields["slices"], "slices")), found)


def _slice(value: object) -> Slice:
    begin, end, status, holder = array(value, "slice", 4, 4)
    if status not in STATUSES:
        raise Malformed(f"status of a slice is {status!r}, not one of {', '.join(STATUSES)}")
    return Slice(uint(begin, "begin", MAX_NUMBER), uint(end, "end", MAX_NUMBER), status, name(holder, "holder"))


def _receipted(value: object) -> Receipted:
    entry, receipt = array(value, "claim", 2, 2)
    if type(entry) is not bytes or type(receipt) is not bytes:
        raise Malformed("a claim or its receipt is not a byte string")
    return Receipted(entry, receipt)
