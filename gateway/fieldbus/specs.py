"""Poll results and alarms of a line: the facts that pass between the fieldbus and its callers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.devices.blocks import Raw
from gateway.devices.read_plan import Block
from gateway.fieldbus.wire.framing import Refused
from ledger_client.formats.senml import Quality
from ledger_client.messages import Said

NOT_ASKED = frozenset({"no-shape", "shared", "stopped"})
"""Reasons of blocks that were not asked, or not so that the answer tells whose it is."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm condition of a line; reported once when it begins (``raised``) and once when it ends.

    ``meter`` is None where the line as a whole is meant. ``said`` says what, where, and the way out. Codes:
    ``meter-exchanged`` (another device answers), ``stranger`` (another master speaks), ``crc-rate`` (too many damaged
    frames), ``line-down`` (the port is gone, or no meter answers), ``comms-lost`` (one meter is silent, others not),
    ``wrong-answer`` (a meter answers with another function or length than it was asked for).
    """

    line: str
    meter: str | None
    code: str
    said: Said
    raised: bool

    @property
    def text(self) -> str:
        """It in English."""
        return str(self.said)


class BlockAnswer(NamedTuple):
    """A block that answered: the variant that was asked, what it holds, and the wall-clock ms when it was complete."""

    block: Block
    raw: Raw
    completed_ms: int


@dataclass(frozen=True, slots=True)
class BlockFailure:
    """A block without values: the reason (EVIDENCE's words), what was seen, and the device's refusal if it was one."""

    block: Block
    reason: str
    detail: Said
    refused: Refused | None = None

    @property
    def asked(self) -> bool:
        """A question was sent, and its answer could have been told from any other."""
        return self.reason not in NOT_ASKED

    @property
    def flag(self) -> int:
        """The quality of its values."""
        if not self.asked:
            return int(Quality.NOT_ASKED)
        return int(Quality.COMM_FAIL if self.refused is None else self.refused.flag)


class Poll(NamedTuple):
    """One due poll: its answers, or ``missed`` with the reason when no block answered. A tuple, as one is always made.

    ``flags`` are quality bits for all of its values. ``identity`` is the meter's own (serial number), as last read.
    A block that was read again at once (``Line.doubts``) has two answers, the first before the second.
    """

    meter: str
    due_ms: int
    answers: tuple[BlockAnswer, ...] = ()
    failures: tuple[BlockFailure, ...] = ()
    missed: str | None = None
    flags: int = 0
    identity: str | None = None
    detail: Said = ""
