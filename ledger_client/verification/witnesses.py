"""Witnesses of ledgers' logs in a trust file, and which ledgers' logs a bundle shows to be witnessed. No I/O.

A ledger of two logs shows each to those who are to believe it. A witness keeps to one: it cosigns a head only where
that extends every one that it has cosigned before. So an entry that stands in a head with k cosignatures stands in the
one log that all k of them follow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ledger_client.errors import BadSignature, Malformed, NotIncluded, TrustFileError, VerificationError
from ledger_client.formats.bundle import Witnessed
from ledger_client.formats.checks import is_ledger_name
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.notes import (
    COSIGNER_KEY,
    LOG_KEY,
    Checkpoint,
    Vkey,
    cosigned,
    demand_signed,
    is_key_name,
    parse_checkpoint,
    parse_note,
)
from ledger_client.messages import Message

_NOTHING_ASKED: Final[Mapping[bytes, object]] = MappingProxyType({})
_KIND: Final = {LOG_KEY: "01", COSIGNER_KEY: "04"}


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness whose cosignature counts."""

    name: str
    vkey: Vkey


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of a ledger's checkpoints; its name is the log's origin."""

    ledger: str
    vkey: Vkey


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A head of a ledger's log that contains the entry: its size, and the witnesses with their times (Unix seconds).

    The times say nothing of the entry's: a witness may be asked years later.
    """

    ledger: str
    size: int
    witnesses: tuple[tuple[str, int], ...]


def read_witness(table: Mapping[str, Any], where: str, source: str) -> Witness:
    """An entry ``[[witness]]``; ``TrustFileError``."""
    if not is_key_name(table.get("name")):
        raise TrustFileError(source, f"{where}.name", Message("trust-witness-name", value=repr(table.get("name"))))
    return Witness(table["name"], _vkey(table.get("vkey"), COSIGNER_KEY, f"{where}.vkey", source))


def read_log(table: Mapping[str, Any], where: str, source: str) -> LogKey:
    """An entry ``[[log]]``; ``TrustFileError``."""
    if not is_ledger_name(table.get("ledger")):
        value = repr(table.get("ledger"))
        raise TrustFileError(source, f"{where}.ledger", Message("trust-name-invalid", value=value))
    return LogKey(table["ledger"], _vkey(table.get("vkey"), LOG_KEY, f"{where}.vkey", source))


def demand_distinct(
    witnesses: Sequence[Witness], logs: Sequence[LogKey], others: Mapping[bytes, str], source: str
) -> None:
    """One key is one witness or one log, one origin one ledger, and neither has a key that is used otherwise
    (``others``: kid → role); ``TrustFileError``."""
    holders: dict[bytes, str] = dict(others)
    names: dict[str, str] = {}
    for number, witness in enumerate(witnesses, 1):
        where, holder = f"witness {number}", f"witness {number}"
        for name in dict.fromkeys((witness.name, witness.vkey.name)):
            if (first := names.setdefault(name, where)) != where:
                raise TrustFileError(source, f"{where}.name", Message("trust-witness-twice", name=name, one=first))
        _demand_alone(holders, witness.vkey, holder, f"{where}.vkey", source)
    ledgers: dict[str, str] = {}
    origins: dict[str, str] = {}
    for number, log in enumerate(logs, 1):
        where, ledger, origin = f"log {number}.vkey", log.ledger, log.vkey.name
        _demand_alone(holders, log.vkey, f"log {number}", where, source)
        if (one := ledgers.setdefault(origin, ledger)) != ledger:
            raise TrustFileError(source, where, Message("trust-origin-twice", origin=origin, one=one, other=ledger))
        if (before := origins.setdefault(ledger, origin)) != origin:
            what = Message("trust-two-origins", ledger=ledger, one=before, other=origin)
            raise TrustFileError(source, where, what)


def _demand_alone(holders: dict[bytes, str], vkey: Vkey, holder: str, where: str, source: str) -> None:
    if (first := holders.setdefault(vkey.public.kid, holder)) != holder:
        raise TrustFileError(source, where, Message("trust-key-two-roles", one=first, other=holder))


def _vkey(value: Any, kind: int, where: str, source: str) -> Vkey:
    if not isinstance(value, str):
        raise TrustFileError(source, where, Message("trust-vkey-missing"))
    try:
        vkey = Vkey.parse(value)
    except VerificationError as error:
        raise TrustFileError(source, where, Message("trust-vkey-invalid", error=error.sentence)) from None
    if vkey.kind != kind:
        raise TrustFileError(source, where, Message("trust-vkey-kind", kind=_KIND[vkey.kind], wanted=_KIND[kind]))
    return vkey


def entries_of(logs: Sequence[LogKey], witnesses: Sequence[Witness] = ()) -> Iterator[str]:
    """The entries of a trust file as they are written: names and keys are printable ASCII."""
    for log in logs:
        yield f"[[log]]\nledger = {json.dumps(log.ledger)}\nvkey = {json.dumps(log.vkey.text)}\n"
    for witness in witnesses:
        yield f"[[witness]]\nname = {json.dumps(witness.name)}\nvkey = {json.dumps(witness.vkey.text)}\n"


def ledger_of(checkpoint: Checkpoint, logs: Sequence[LogKey]) -> str | None:
    """The ledger whose log has this origin; None for an unknown one."""
    return next((log.ledger for log in logs if log.vkey.name == checkpoint.origin), None)


def cosigned_heads(
    entry: bytes,
    notes: Sequence[Witnessed],
    logs: Sequence[LogKey],
    witnesses: Sequence[Witness],
    now: Mapping[bytes, object] = _NOTHING_ASKED,
) -> tuple[dict[str, Cosigned], list[Message]]:
    """({ledger: the head with the entry that most witnesses have cosigned}, why other notes count for nothing).

    ``now``: of notes whose ledger was asked an error where its log is another one now.
    """
    found: dict[str, Cosigned] = {}
    failures: list[Message] = []
    for number, one in enumerate(notes, 1):
        try:
            head = _head(entry, one, logs, witnesses)
            if isinstance(fact := now.get(one.note), VerificationError):
                raise fact
        except VerificationError as error:
            failures.append(Message("verify-note-not", number=number, n=len(notes), why=error.sentence))
            continue
        best = found.get(head.ledger)
        if best is None or len(head.witnesses) > len(best.witnesses):
            found[head.ledger] = head
    return found, failures


def _head(entry: bytes, one: Witnessed, logs: Sequence[LogKey], witnesses: Sequence[Witness]) -> Cosigned:
    note = parse_note(one.note)
    checkpoint = parse_checkpoint(note.text)
    keys = [log for log in logs if log.vkey.name == checkpoint.origin]
    if not keys:
        raise Malformed(Message("verify-note-unknown", origin=checkpoint.origin))
    signed = [log for log in keys if any((line.name, line.id) == (log.vkey.name, log.vkey.id) for line in note.lines)]
    if not signed:
        raise BadSignature(Message("verify-note-unsigned", ledger=keys[0].ledger))
    for log in signed:
        demand_signed(note, log.vkey)
    times = [(witness.name, cosigned(note, witness.vkey)) for witness in witnesses]
    size, index, path = one.place
    if (size, root_from_path(leaf_hash(entry), size, index, path)) != (checkpoint.size, checkpoint.root):
        raise NotIncluded(Message("verify-note-without", ledger=keys[0].ledger))
    return Cosigned(keys[0].ledger, size, tuple((name, time) for name, time in times if time is not None))
