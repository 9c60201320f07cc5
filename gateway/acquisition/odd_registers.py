"""Odd registers: what stands in the answers of a poll, point by point, and what of it a meter seldom means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.devices.points import Point
from gateway.devices.register_block import RegisterBlock
from gateway.devices.remarks import remark
from gateway.fieldbus.specs import Poll
from gateway.messages.message import Message


def slices(poll: Poll) -> Iterator[tuple[Point, Sequence[int]]]:
    """The registers of every point that stands in some."""
    for answer in poll.answers:
        if isinstance(answer.block, RegisterBlock) and not isinstance(answer.raw, Mapping):
            yield from answer.block.slices(answer.raw)


def odd_registers(poll: Poll) -> dict[str, Message]:
    """By point what its registers look like that a meter seldom means."""
    return {point.name: sentence for point, words in slices(poll) if (sentence := remark(point, words))}
