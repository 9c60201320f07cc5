"""Evidence pack of one device and period for an issuer of I-RECs: what was made, by which metering, and documents (X2).

A zip of which the manifest comes first and has the SHA-256 of every other member; the same inputs give the same bytes.
Pure. Meterseal issues no I-REC.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.tables.devices import DeviceRows, devices, left_out_milli, total_milli
from ledger_client.accounting.tables.hours import hours
from ledger_client.accounting.tables.settled import settled, settled_milli
from ledger_client.accounting.tables.stated import StatedRows, written
from ledger_client.accounting.tables.writing import as_csv

MANIFEST: Final = "manifest.json"
KIND: Final = "I-REC evidence"
HOURS: Final = "hours.csv"
_KWH: Final = -6
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can bear: members have none of their own."""
_LOCAL_HEADER: Final = 30
"""Bytes before the name of a zip's first member."""


class Document(NamedTuple):
    """A file that somebody adds: a bill, a permit."""

    name: str
    data: bytes


def pack(
    statements: Sequence[StatedRows], proofs: Mapping[bytes, bytes], documents: Sequence[Document], device: str | None
) -> bytes:
    """The pack.

    Args:
        statements: all of the period, of one gateway.
        proofs: ``.mseal`` files of plans, statements and entries by record hash.
        documents: files to be added.
        device: whose id it is of; None: the only one.

    Raises:
        AccountingError: there is no such device, several, or a hole in the period.
    """
    of_device = _of_device(statements, device)
    members = dict(_members(of_device, proofs, documents))
    fields = {
        "kind": KIND, "v": 1, "device": dict(of_device[-1].certificate) | {"zone": of_device[-1].node.zone},
        "from": utc_text(of_device[0].stated.span[0]), "to": utc_text(of_device[-1].stated.span[1]),
        "kwh": written(total_milli(of_device) - left_out_milli(of_device), _KWH),
        "kwh_left_out": written(left_out_milli(of_device), _KWH),
        "metering": _metering(of_device), "statements": [_statement(one) for one in of_device],
        "documents": _documents(of_device, documents),
        "files": [{"name": n, "sha256": sha256(d).hexdigest(), "bytes": len(d)} for n, d in sorted(members.items())],
    }  # fmt: skip
    manifest = (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()
    return _zipped([(MANIFEST, manifest), *sorted(members.items())])


def is_pack(data: bytes) -> bool:
    """Whether a file is one of these: a zip that begins with a manifest."""
    return data.startswith(b"PK\x03\x04") and data[_LOCAL_HEADER:].startswith(MANIFEST.encode())


def _of_device(statements: Iterable[StatedRows], device: str | None) -> list[DeviceRows]:
    found = devices(statements)
    if device is None and len(found) > 1:
        refuse("X2", "--device", f"the plans have the devices {', '.join(found)}", "give one: a pack is of one device")
    named = next(iter(found)) if device is None else device
    if named not in found:
        refuse("X2", "--device", f"no plan has the device {named}", f"give one of {', '.join(found)}")
    return found[named]


def _members(
    of_device: Sequence[DeviceRows], proofs: Mapping[bytes, bytes], documents: Sequence[Document]
) -> Iterator[tuple[str, bytes]]:
    """The files of the pack but for its manifest: hours, proofs, documents under their hashes."""
    stated_rows = [StatedRows(s.record, s.fields, s.plan, rows, s.entries) for s, _, _, rows in of_device]
    yield HOURS, as_csv(hours(stated_rows))
    for one in of_device:
        yield f"proofs/plan-{one.stated.fields['plan'].hex()}.mseal", proofs[one.stated.fields["plan"]]
        yield f"proofs/statement-{one.stated.record.hex()}.mseal", proofs[one.stated.record]
        for entry in _entries(one):
            yield f"proofs/entry-{entry.record.hex()}.mseal", proofs[entry.record]
    for document in documents:
        yield f"documents/{sha256(document.data).hexdigest()[:16]}-{document.name}", document.data


def _entries(one: DeviceRows) -> list[Entry]:
    """The entries on the device's node and points that are of the statement's time."""
    of = {one.node.name, *(point for _, point in one.node.terms)}
    from_ms, to_ms = one.stated.span
    return [
        entry for entry in one.stated.entries if entry.of in of and entry.from_ms <= to_ms and entry.to_ms >= from_ms
    ]


def _metering(of_device: Sequence[DeviceRows]) -> dict[str, Any]:
    """Settlement where entries cover the whole period exactly, else other metering: the gateway's own."""
    last, from_ms = of_device[-1], of_device[0].stated.span[0]
    bill = settled(last.stated.plan, last.node.name, last.stated.entries, from_ms, last.stated.span[1])
    difference = total_milli(of_device) - (bill.milli or 0) if bill.matches else None
    return {
        "evidence": "settlement" if bill.matches else "other",
        "meters": sorted({last.stated.plan.points[point].meter for one in of_device for _, point in one.node.terms}),
        "settled_kwh": written(bill.milli, _KWH), "metered_less_settled_kwh": written(difference, _KWH),
        "settlements": [
            {
                "from": utc_text(entry.from_ms), "to": utc_text(entry.to_ms),
                "kwh": written(settled_milli(entry), _KWH), "entry": entry.record.hex(),
                "document": None if entry.document is None else entry.document.hex(),
            }
            for entry in bill.entries
        ],
    }  # fmt: skip


def _statement(one: DeviceRows) -> dict[str, Any]:
    statuses: dict[str, int] = {}
    for row in one.rows:
        statuses[row.status] = statuses.get(row.status, 0) + 1
    fields = one.stated.fields
    return {
        "record": one.stated.record.hex(), "plan": fields["plan"].hex(), "from": utc_text(one.stated.span[0]),
        "to": utc_text(one.stated.span[1]), "version": fields["version"], "complete": fields["complete"],
        "node": one.node.name, "rows": statuses,
    }  # fmt: skip


def _documents(of_device: Sequence[DeviceRows], documents: Sequence[Document]) -> list[dict[str, Any]]:
    """Every document that is in the pack or that an entry cites, by its hash."""
    names = {sha256(document.data).digest(): document.name for document in documents}
    cited: dict[bytes, list[str]] = {hashed: [] for hashed in names}
    for entry in {entry.record: entry for one in of_device for entry in _entries(one)}.values():
        if entry.document is not None:
            cited.setdefault(entry.document, []).append(entry.record.hex())
    return [
        {"sha256": hashed.hex(), "name": names.get(hashed), "in_pack": hashed in names, "cited_by": sorted(entries)}
        for hashed, entries in sorted(cited.items())
    ]


def _zipped(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Stored, not compressed: two versions of zlib would give two files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as made:
        for name, data in members:
            info = zipfile.ZipInfo(name, _LONG_AGO)
            info.create_system, info.external_attr = 3, 0o644 << 16
            made.writestr(info, data)
    return target.getvalue()
