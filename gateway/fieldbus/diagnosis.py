"""Diagnosis of a poll: refusals, missing answers, and line settings that differ from the profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gateway.fieldbus.specs import BlockFailure, Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.link import NO_FRAME
from gateway.messages.message import Message
from ledger_client.messages import Fact, Sentence


def block_failed(failure: BlockFailure) -> Message:
    """A block without values: which, and why."""
    block, reason = failure.block.label(), failure.reason
    if reason in ("timeout", "refused"):
        return Message("block-failed", block=block, detail=failure.detail)
    return Message("block-failed-reason", block=block, reason=reason, detail=failure.detail)


def is_no_frame(fact: Fact) -> bool:
    """Bytes came that are no frame; the message says so itself or quotes one that does."""
    return fact == NO_FRAME or (isinstance(fact, Message) and any(map(is_no_frame, fact.facts.values())))


def refused(poll: Poll, protocol: str) -> Sentence | None:
    """What a meter refuses and why, where that is lasting: all of the poll, or a point that no other cut of the reads
    gives. None where it refuses nothing. What a SunSpec device lacks it may lack."""
    if poll.missed == "refused" and not poll.failures:
        return poll.detail
    found = [failure for failure in poll.failures if _lasting(failure, whole=poll.missed == "refused")]
    if not found or (protocol == "sunspec" and poll.missed != "refused"):
        return None
    block, detail = found[0].block.label(), found[0].detail
    if len(found) == 1:
        return Message("block-failed", block=block, detail=detail)
    return Message("meter-refuses-blocks", block=block, n=len(found) - 1, detail=detail)


def _lasting(failure: BlockFailure, *, whole: bool) -> bool:
    refused = failure.refused
    return refused is not None and refused.lasting and (whole or len(failure.block.points) == 1 or not refused.of_place)


def no_values(line: LineSpec, meter: MeterSpec, poll: Poll) -> Message:
    """What was seen in a poll without an answer, and the way out."""
    seen = tuple(dict.fromkeys(map(block_failed, poll.failures))) or (_missed(poll),)
    if poll.missed == "refused":
        return Message("meter-refuses-request", seen=seen)
    if poll.missed in ("timeout", "line-down"):
        check = Message("check-speed-and-wires") if any(map(is_no_frame, seen)) else Message("check-power-and-wiring")
        return Message("meter-no-answer", seen=seen, checks=(check, *differences(line, meter)))
    if poll.missed in ("no-shape", "shared"):
        return Message("meter-not-polled", seen=seen)
    return Message("meter-no-values", seen=seen)


def _missed(poll: Poll) -> Message:
    """Why a poll that has come to no block has no values."""
    reason = poll.missed or "timeout"
    if not poll.detail:
        return Message("poll-missed", reason=reason)
    return Message("poll-missed-detail", reason=reason, detail=poll.detail)


def differences(line: LineSpec, meter: MeterSpec) -> Iterator[Message]:
    """Where the bus is set otherwise than a device of this profile leaves the factory, one sentence a setting."""
    profile = meter.profile
    if line.sets_line and profile.serial is not None:
        for key in ("baudrate",) if line.type == "modbus-ascii" else ("baudrate", "parity", "stopbits"):
            here, delivered = str(getattr(line, key)), str(getattr(profile.serial, key))
            if here != delivered:
                yield Message(
                    "line-differs-from-delivery",
                    bus=line.name,
                    key=key,
                    here=here,
                    profile=profile.name,
                    delivered=delivered,
                )
    if isinstance(meter.address, int) and meter.address != profile.default_address:
        yield Message(
            "meter-address-differs",
            meter=meter.name,
            address=meter.address,
            profile=profile.name,
            delivered=profile.default_address,
        )


def line_differences(line: LineSpec) -> list[Message]:
    """The same of all meters of a line; of their addresses only where a meter is alone with its profile, for several
    of one kind cannot have one address."""
    found: dict[Message, None] = {}
    for meter in line.meters:
        alone = sum(other.profile is meter.profile for other in line.meters) == 1
        seen = meter if alone else replace(meter, address=meter.profile.default_address)
        found |= dict.fromkeys(differences(line, seen))
    return list(found)
