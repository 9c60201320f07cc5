"""Submission of a commissioning record: signed by the running gateway, or kept in the data folder for the next start.

Two processes never write one database. A file a meter waits under ``commissioning/`` until its event is durable; one
that is not what was written is set aside, and nothing is lost.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.commissioning.record import content
from gateway.commissioning.record.content import CommissioningRecord
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process import control_socket, instance_lock
from gateway.process.file_owner import as_its_folder
from ledger_client.durable_files import sync_folder, whole_file
from ledger_client.errors import LedgerClientError
from ledger_client.formats import cbor
from ledger_client.formats.record import Event

COMMISSION: Final = "commission"
"""Name of the order."""
_FOLDER, _END = "commissioning", ".cbor"
DAMAGED, OLDER = "damaged", "older"
"""Why a file is set aside."""
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Submitted:
    """What has become of a record: its id METER/EPOCH/SEQ once it is signed and durable, else the file it waits in."""

    record: str | None
    waiting: Path | None = None


def submit(config: Config, record: CommissioningRecord) -> Submitted:
    """Have a record signed. The same record submitted twice is signed once.

    Raises:
        Declined: the running gateway refuses it: another device, another configuration, an unknown meter.
        GatewayError: a field that a record cannot hold, no answer of the gateway, or a folder that cannot be written.
    """
    data = encode(record)
    if instance_lock.running(config.data) is not None:
        done = control_socket.give(config.data, COMMISSION, record=b64encode(data).decode())
        return Submitted(done["record"])
    path = waiting_path(config.data, record.meter)
    try:
        for folder in (config.data, path.parent):
            if not folder.exists():
                folder.mkdir(parents=True)
                as_its_folder(folder)
        with whole_file(path) as file:
            file.write(data)
        as_its_folder(path)
    except OSError as error:
        raise GatewayError(Message("commissioned-not-kept", path=str(path), error=os_error(error))) from None
    return Submitted(None, path)


def encode(record: CommissioningRecord) -> bytes:
    """A record as it is ordered and as it waits. Raises GatewayError."""
    event = record.event()
    return cbor.encode({"v": _VERSION, "meter": record.meter, "event": {"event": event.name, **event.fields}})


def decode(data: bytes) -> CommissioningRecord:
    """The inverse of ``encode``. Raises GatewayError for anything else."""
    try:
        document: Any = cbor.decode(data)
        if not isinstance(document, dict) or set(document) != {"v", "meter", "event"} or document["v"] != _VERSION:
            raise GatewayError(Message("commissioned-unreadable"))
        fields = dict(document["event"])
        return content.of(document["meter"], Event(fields.pop("event"), fields))
    except (LedgerClientError, LookupError, TypeError, ValueError):
        raise GatewayError(Message("commissioned-unreadable")) from None


def ordered(text: object) -> CommissioningRecord:
    """The record of an order. Raises GatewayError."""
    try:
        return decode(b64decode(str(text), validate=True))
    except NotBase64:
        raise GatewayError(Message("commissioned-unreadable")) from None


def waiting_path(data: Path, meter: str) -> Path:
    """The file in which a record of this meter waits."""
    return data / _FOLDER / f"{meter}{_END}"


def waiting(data: Path) -> list[Path]:
    """The files of records that wait in a data folder."""
    return sorted((data / _FOLDER).glob(f"*{_END}"))


def read(path: Path) -> CommissioningRecord:
    """The record of a file that waits. Raises OSError, and GatewayError for what is no record of its meter."""
    record = decode(path.read_bytes())
    if path.name != f"{record.meter}{_END}":
        raise GatewayError(Message("commissioned-unreadable"))
    return record


def done_with(path: Path) -> None:
    """Remove the file of a record that is durable. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def set_aside(path: Path, why: str) -> Path:
    """Keep a file that is not to be signed under another name. Raises OSError."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    path.rename(aside)
    sync_folder(path.parent)
    return aside
