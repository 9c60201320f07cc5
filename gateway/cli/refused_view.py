"""Refused packets as text, for `meterseal status --refused`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.status.listeners import ListenerStatus
from ledger_client.times import rfc3339_ms

REASONS = {
    "crc": "check value wrong",
    "length": "length wrong",
    "noise": "no packet",
    "unended": "did not end",
    "form": "not understood",
    "station": "station not configured",
    "password": "password wrong",
    "version": "version of Flag unknown",
    "network": "address not allowed",
    "connections": "too many connections",
}

DAMAGED = {
    "crc": "check value wrong",
    "parity": "parity wrong",
    "end": "no check value at the end",
    "unended": "did not end",
    "length": "too long",
}
"""Why a telegram of P1 is damaged."""


def print_refused(out: Console, lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The newest refused packets of each line, the oldest of them first."""
    for line, packets in lines.items():
        out.print(Text(line, "bold"), f" {len(packets)} packets refused last" if packets else " no packet refused")
        if packets:
            out.print(_table(packets))


def _table(packets: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("time", "from", "reason", "station", "length", "CRC", "begins with", box=None)
    for packet in packets:
        table.add_row(
            rfc3339_ms(packet["time_ms"]),
            packet["peer"],
            Text(_reason(packet)),
            packet["mn"] or "",
            _figures(packet["length_given"], packet["length_found"]),
            _figures(packet["crc_given"], packet["crc_found"]),
            Text(packet["begin"]),
        )
    return table


def _reason(packet: Mapping[str, Any]) -> str:
    reason = REASONS.get(packet["reason"], packet["reason"])
    return f"{reason}: {packet['detail']}" if packet["detail"] else reason


def _figures(given: Any, found: Any) -> str:
    """One figure, or the two that differ."""
    if given is None and found is None:
        return ""
    return str(given) if str(given).upper() == str(found).upper() else f"{given or '?'}, found {found or '?'}"


def listener_lines(listener: ListenerStatus) -> Iterator[str]:
    """One listener in the status."""
    if listener.telegrams is not None:
        yield from _telegrams(listener, listener.telegrams)
        return
    if listener.exchanges is not None:
        yield from _overheard(listener, listener.exchanges)
        return
    text = f"{listener.line}: {listener.counters.get('heard', 0)} packets with data taken"
    if refused := sum(listener.refused.values()):
        reasons = ", ".join(f"{n} {REASONS.get(reason, reason)}" for reason, n in sorted(listener.refused.items()))
        text += f", {refused} refused ({reasons}): see --refused"
    yield text
    if listener.commands:
        kinds = ", ".join(f"{count} of CN {command}" for command, count in sorted(listener.commands.items()))
        yield f"{listener.line}: packets of known stations that no meter takes: {kinds}"
    for meter, names in listener.unnamed.items():
        yield f"meter {meter}: its profile does not name {', '.join(names)}"


def _telegrams(listener: ListenerStatus, telegrams: Mapping[str, int]) -> Iterator[str]:
    """One P1 port."""
    whole = telegrams.get("heard", 0) + telegrams.get("unchecked", 0)
    text = f"{listener.line}: {whole} telegrams taken"
    if unchecked := telegrams.get("unchecked", 0):
        text += f" ({unchecked} of them without a check value)"
    if damaged := {reason: n for reason, n in telegrams.items() if reason in DAMAGED and n}:
        reasons = ", ".join(f"{n} {DAMAGED[reason]}" for reason, n in sorted(damaged.items()))
        text += f", {sum(damaged.values())} damaged ({reasons})"
    if listener.skipped_bytes:
        text += f", {listener.skipped_bytes} bytes outside of any"
    yield text
    for meter, units in listener.units.items():
        for code, unit in units.items():
            came = f"in {unit!r}" if unit else "without a unit"
            yield f"meter {meter}: {code} comes {came}, which its profile does not convert: no value is recorded of it"


def _overheard(listener: ListenerStatus, found: Mapping[str, int]) -> Iterator[str]:
    """One line on which another master asks."""
    doubtful = found.get("doubtful", 0) + found.get("late", 0)
    yield (
        f"{listener.line}: {found.get('questions', 0)} questions of another master, {found.get('taken', 0)} answers "
        f"taken, {doubtful} doubtful, {found.get('unanswered', 0)} unanswered"
    )
    for meter, names in listener.never_asked.items():
        yield f"meter {meter}: the other master never asks for {', '.join(names)}"
