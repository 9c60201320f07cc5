"""Faults as a state file keeps them: those that were injected, and what each has done so far. Pure.

A fault's memory is in the fields of its class that no table can set (``Frozen``: the moment that it shows). So a meter
that was killed with its simulator shows afterwards what it would have shown. What stands there and is no number, text
or collection of them follows from the rest, and is worked out again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from typing import Any

from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.armed import Armed, Faults, Order, Standing

INJECTED = "i"
"""How the ids of those begin that are in no scenario file."""


def kept(faults: Faults) -> list[dict[str, Any]]:
    """Every fault that was not cleared, as JSON has it, in the order of arming."""
    return [_standing(each) for each in faults.standing()]


def without_counts(rows: list[dict[str, Any]]) -> list[Any]:
    """What of the rows is new only when something has happened, and not with each request that meets a fault."""
    return [
        (row["id"], row["left"], [armed["memories"] for armed in (*row["by_meter"].values(), *row["of_bus"])])
        for row in rows
    ]


def restored(faults: Faults, rows: list[dict[str, Any]], ordered: Callable[[Mapping[str, Any]], Order]) -> None:
    """Make the faults those of the rows, and each remember what it did.

    Args:
        faults: those of the scenario's file are armed.
        rows: of ``kept``, of another run of the same scenario.
        ordered: makes an order of a fault table.

    Raises:
        ValueError, KeyError, TypeError: the rows are none of ``kept``.
    """
    there = {row["id"] for row in rows}
    faults.clear([standing.id for standing in faults.standing() if standing.id not in there])
    for row in rows:
        if row["id"].startswith(INJECTED):
            faults.arm(ordered(row["table"]), number=int(row["id"][len(INJECTED) :]))
    standing = {each.id: each for each in faults.standing()}
    for row in rows:
        _recalled(standing[row["id"]], row)


def table_of(order: Order) -> dict[str, Any]:
    """The fault table that asks for an order."""
    when = order.when
    times = {"from": when.from_ms / 1000} | ({} if when.to_ms is None else {"to": when.to_ms / 1000})
    often = {"every": when.every, "share": when.share, "above": when.above}
    count = {} if order.count is None else {"count": order.count}
    whose = {"bus" if order.bus else "meter": order.target}
    return {**whose, "kind": order.kind, **order.keys, **times, **often, **count}


def _standing(standing: Standing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": standing.id,
        "left": standing.each()[0].budget.left,
        "by_meter": {name: _armed(each) for name, each in standing.by_meter.items()},
        "of_bus": [] if standing.of_bus is None else [_armed(standing.of_bus)],
    }
    return row | ({"table": table_of(standing.order)} if standing.id.startswith(INJECTED) else {})


def _armed(armed: Armed) -> dict[str, Any]:
    faults = [choice.fault for choice in armed.choices]
    memories = [dict(_remembered(fault)) for fault in faults]
    return {"requests": armed.requests, "struck": armed.struck, "memories": memories}


def _recalled(standing: Standing, row: Mapping[str, Any]) -> None:
    for armed in standing.each():
        armed.budget.left = row["left"]
    for name, armed in standing.by_meter.items():
        _recall(armed, row["by_meter"][name])
    if standing.of_bus is not None:
        _recall(standing.of_bus, row["of_bus"][0])


def _recall(armed: Armed, row: Mapping[str, Any]) -> None:
    armed.requests, armed.struck = int(row["requests"]), int(row["struck"])
    for choice, memory in zip(armed.choices, row["memories"], strict=True):
        for name in memory.keys() & set(_memory(choice.fault)):
            setattr(choice.fault, name, _value(memory[name]))


def _remembered(fault: Fault) -> Iterator[tuple[str, Any]]:
    """What a fault remembers, without what it only saves itself from working out again: that is no number or text."""
    for name in _memory(fault):
        with suppress(TypeError):
            yield name, _plain(getattr(fault, name))


def _memory(fault: Fault) -> list[str]:
    return [field.name for field in fields(fault) if not field.init]


def _plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has not is a table of one key, its type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, Fraction):
        return {"ratio": [value.numerator, value.denominator]}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, dict):
        return {"dict": [[_plain(key), _plain(each)] for key, each in value.items()]}
    if isinstance(value, tuple | list | set):
        return {type(value).__name__: [_plain(each) for each in value]}
    raise TypeError(f"no state file can hold a {type(value).__name__}")


def _value(plain: Any) -> Any:
    """The value that ``_plain`` wrote."""
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "dict":
        return {_value(key): _value(each) for key, each in content}
    made: dict[str, Callable[[Any], Any]] = {
        "hex": bytes.fromhex,
        "ratio": lambda pair: Fraction(*pair),
        "decimal": Decimal,
        "tuple": lambda each: tuple(map(_value, each)),
        "list": lambda each: list(map(_value, each)),
        "set": lambda each: set(map(_value, each)),
    }
    return made[kind](content)
