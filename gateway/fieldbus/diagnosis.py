"""Diagnosis of a poll in words: refusals, missing answers, and line settings that differ from the profile.

Source of the exception codes: MODBUS Application Protocol V1.1b3, §7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gateway.devices.read_plan import BITS, Block
from gateway.fieldbus.modbus.link import NO_FRAME
from gateway.fieldbus.specs import BlockFailure, LineSpec, MeterSpec, Poll

OTHER_FUNCTION = {1: 2, 2: 1, 3: 4, 4: 3}
SAYING = (1, 2, 3, 4)
"""Exceptions that ask for a change of what is asked. The others pass: the device is busy, or a converter is."""
CHECK = "check its power and address, the line's settings and the wiring"


def refusal(code: int, function: int) -> str:
    """An exception in words, with the usual causes."""
    other = OTHER_FUNCTION.get(function, function)
    said = {
        1: f"it answers, and does not know function {function}: function {other} instead?",
        2: f"it answers, and has no such register: function {other} instead of {function}? counted from 1?",
        3: f"it answers, and refuses this number of registers: fewer at once? function {other} instead of {function}?",
        4: f"it answers, and fails to read it: a fault of the device, or function {other} instead of {function}?",
    }
    return f"exception {code:02X}: {said.get(code, 'it answers, and gives no value now')}"


def block_name(block: Block) -> str:
    """What a block asks for, such as ``function 4, registers 300 to 301``."""
    one, many = ("bit", "bits") if block.fc in BITS else ("register", "registers")
    first, last = block.address, block.address + max(1, block.count) - 1
    where = f"{one} {first}" if first == last else f"{many} {first} to {last}"
    model = block.points[0][0].model if block.points else None
    return f"function {block.fc}, {where}" if model is None else f"function {block.fc}, model {model}, {where}"


def failure_text(failure: BlockFailure) -> str:
    """A block without values: which, and why."""
    reason = "" if failure.reason in ("timeout", "refused") and failure.detail else f"{failure.reason}: "
    return f"{block_name(failure.block)}: {reason}{failure.detail}".rstrip(": ")


def refused(poll: Poll, protocol: str) -> str | None:
    """What a meter refuses and why, where that is lasting: all of the poll, or a point that no other cut of the reads
    gives. None where it refuses nothing. What a SunSpec device lacks it may lack."""
    if poll.missed == "refused" and not poll.failures:
        return poll.detail
    found = [failure for failure in poll.failures if _lasting(failure, whole=poll.missed == "refused")]
    if not found or (protocol == "sunspec" and poll.missed != "refused"):
        return None
    first, more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{block_name(first.block)}{more}: {first.detail}"


def _lasting(failure: BlockFailure, *, whole: bool) -> bool:
    alone = whole or len(failure.block.points) == 1 or failure.exception_code in (1, 4)
    return failure.exception_code in SAYING and alone


def no_values(line: LineSpec, meter: MeterSpec, poll: Poll) -> tuple[str, str]:
    """Of a poll without an answer: what was seen, and the way out."""
    texts = dict.fromkeys(failure_text(failure) for failure in poll.failures)
    seen = "; ".join(texts) or ": ".join(filter(None, (poll.missed, poll.detail)))
    if poll.missed == "refused":
        return (
            f"it answers and refuses what is asked: {seen}",
            "compare function and address with the meter's register map",
        )
    if poll.missed in ("timeout", "line-down"):
        way_out = "check speed, parity and the wires A and B" if NO_FRAME in seen else CHECK
        return f"no answer ({seen})", "; ".join((way_out, *differences(line, meter)))
    if poll.missed in ("no-shape", "shared"):
        return f"not asked ({seen})", "find out who else asks on this line"
    return f"it gave no values: {seen}", CHECK


def differences(line: LineSpec, meter: MeterSpec) -> Iterator[str]:
    """Where the bus is set otherwise than a device of this profile leaves the factory, one sentence a setting."""
    profile = meter.profile
    if line.port is not None and profile.serial is not None:
        for key in ("baudrate", "parity", "stopbits"):
            here, delivered = getattr(line, key), getattr(profile.serial, key)
            if here != delivered:
                yield f"bus {line.name!r} has {key} {here}, {profile.name} is delivered with {delivered}"
    if meter.address != profile.default_address:
        delivered = profile.default_address
        yield f"{meter.name} is asked at address {meter.address}, {profile.name} is delivered with {delivered}"


def line_differences(line: LineSpec) -> list[str]:
    """The same of all meters of a line; of their addresses only where a meter is alone with its profile, for several
    of one kind cannot have one address."""
    found: dict[str, None] = {}
    for meter in line.meters:
        alone = sum(other.profile is meter.profile for other in line.meters) == 1
        seen = meter if alone else replace(meter, address=meter.profile.default_address)
        found |= dict.fromkeys(differences(line, seen))
    return list(found)
