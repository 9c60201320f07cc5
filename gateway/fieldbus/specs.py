"""Poll results and alarms of a line: the facts that pass between the fieldbus and its callers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.devices.blocks import Block, Raw
from gateway.devices.knowledge.device_numbers import device_numbers
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.link import Answer
from gateway.records import Token
from ledger_client.formats.senml import Quality
from ledger_client.messages import Sentence

NOT_ASKED = frozenset({"no-shape", "shared", "stopped", "not-asked"})
"""Reasons of blocks that were not asked, or not so that the answer tells whose it is."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm condition of a line; reported once when it begins (``raised``) and once when it ends.

    ``meter`` is None where the line as a whole is meant. ``sentence`` says what, where, and the way out. Codes:
    ``meter-exchanged`` (another device answers), ``stranger`` (another master speaks), ``crc-rate`` (too many damaged
    frames), ``line-down`` (the port is gone, or no meter answers), ``comms-lost`` (one meter is silent, others not),
    ``wrong-answer`` (a meter answers with another function, length or identifier than it was asked for).
    """

    line: str
    meter: str | None
    code: str
    sentence: Sentence
    raised: bool

    @property
    def text(self) -> str:
        """It in English."""
        return str(self.sentence)


class BlockAnswer(NamedTuple):
    """A block that answered: the variant that was asked, what it holds, and the wall-clock ms when it was complete.
    ``answer``: to a question of ours, as it was on the wire; None where it came unasked."""

    block: Block
    raw: Raw
    completed_ms: int
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class BlockFailure:
    """A block without values: the reason (EVIDENCE's words), what was seen, and the device's refusal if it was one."""

    block: Block
    reason: str
    detail: Sentence
    refused: Refused | None = None

    @property
    def asked(self) -> bool:
        """A question was sent, and its answer could have been distinguished from any other."""
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
    A block that was read again at once (``Line.doubts``) has two answers, the first before the second. Of a message
    that came unasked ``token`` is what it is known by when it is sent again, and ``label_ms`` the time that it bears.
    """

    meter: str
    due_ms: int
    answers: tuple[BlockAnswer, ...] = ()
    failures: tuple[BlockFailure, ...] = ()
    missed: str | None = None
    flags: int = 0
    identity: str | None = None
    detail: Sentence = ""
    token: Token | None = None
    label_ms: int | None = None
    cause: str = ""
    """Why it was missed, as what is to be done about it asks (``messages.reasons``); "": its reason says all."""


class FieldLine(Protocol):
    """One line and its meters, asked (``Line``) or listened to (``ListenLine``), as the rest of the gateway sees it.

    Owned by the event loop: everything is used there only.
    """

    spec: LineSpec
    busy_s: float
    """For so long it was asked and listened to, since it was made; 0 where nothing is ever asked."""

    @property
    def counters(self) -> Counter[str]:
        """Polls by outcome, and frames that were no expected answer by kind."""

    @property
    def up(self) -> bool:
        """It is open, and not all of its meters are silent; or they sleep."""

    @property
    def asleep(self) -> bool:
        """All of its meters sleep."""

    @property
    def silent(self) -> list[str]:
        """Its meters that are not responding."""

    @property
    def shared(self) -> bool:
        """Another master was heard, and values are flagged."""

    async def run(self, anchor_ms: int, from_ms: int | None = None) -> None:
        """Report every due poll once until ``request_stop``; they are due by the schedule's clock from ``anchor_ms``
        on, or from ``from_ms``. No fault of a device or a port ends it."""

    def request_stop(self) -> None:
        """Finish what is in flight; ``run`` then returns."""

    def accept(self, meter: str, identity: str | None) -> None:
        """Take values from the meter that now answers under this name; None: it does not say who it is."""

    def stranger(self, meter: str) -> str | None:
        """The identity of another device that answers in place of the known one, None while there is none."""

    def unproven(self, meter: str) -> bool:
        """The device that answers now did not give its identity when it was last asked for it."""

    def identity(self, meter: str) -> str | None:
        """The identity from which values are accepted, None while none was read."""

    def clear_shared(self) -> str:
        """The other master was removed from the line; gives its last frame as hex, "" while none is known."""

    def last_answered(self, meter: str) -> Poll | None:
        """The last poll in which at least one block of this meter answered, with what it held."""


def has_number(line: FieldLine, meter: str) -> bool:
    """Whether the identity of the device that answers now has a number in which it differs from others of its make."""
    stranger = line.stranger(meter)
    if stranger is not None:
        return bool(device_numbers(stranger))
    return bool(device_numbers(line.identity(meter))) and not line.unproven(meter)
