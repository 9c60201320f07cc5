"""Alarm kinds: code, severity, meaning, delays before raising and clearing.

One table for the board, the pages and the feeds; docs/alarms.md lists the same. Title and advice of a kind stand in
the catalogues, as ``kind-CODE``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gateway.messages.message import Message

Severity = Literal["critical", "error", "warning", "notice"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "error", "warning", "notice")
"""From the worst on. Critical: evidence is being lost, or cannot be believed. Error: something does not work."""

Renewed = Literal["answer", "look", "wait", "ends"]
"""What becomes after a restart of an alarm that stood before it: it stands until one of the meters meant gives a
reading; until the next look, which is made at once; for ten minutes unless it is found again; or it ends."""

COMMS_LOST, LINE_DOWN, EXCHANGED = "comms-lost", "line-down", "meter-exchanged"
STRANGER, NOT_ASKED = "stranger", "not-asked"
CRC_RATE, REFUSES, WRONG_ANSWER = "crc-rate", "meter-refuses", "wrong-answer"
METERS_SILENT, SITE_SILENT = "meters-silent", "site-silent"
STALE, COUNTER_BACK, CLOCK, CLOCK_STEP = "stale", "counter-back", "clock", "clock-step"
ANCHOR_OVERDUE, CERTIFICATE_END, KEY_END, DISK = "anchor-overdue", "certificate-end", "key-end", "disk"
FEED_AWAY = "feed-away"
KEY_UNLISTED = "key-unlisted"
SIGNATURE, CONFIGURATION, REVERTED = "signature-failure", "configuration-changed", "configuration-reverted"
STOPPED, BUFFER, DAMAGED, REPAIRED = "recording-stopped", "buffer", "database-damaged", "database-repaired"
LEDGER_REFUSED, LEDGER_LOST, LEDGER_ODD = "ledger-refused", "ledger-lost", "ledger-odd"
ROLLBACK, EQUIVOCATION = "rollback", "equivocation"
"""The last two are events of their own, too."""
ON_A_LINE = frozenset(
    {COMMS_LOST, METERS_SILENT, LINE_DOWN, EXCHANGED, REFUSES, STRANGER, NOT_ASKED, CRC_RATE, WRONG_ANSWER, STALE}
    | {COUNTER_BACK}
)
AT_A_LEDGER = frozenset({LEDGER_REFUSED, LEDGER_LOST, LEDGER_ODD, ROLLBACK, EQUIVOCATION})
S, MIN, H = 1000, 60_000, 3_600_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of alarm. ``delay_ms``: how long it must be true before it is raised; ``clear_ms``: how long it must be
    over before it is cleared. ``own``: whoever finds it signs its events; the board only keeps its state."""

    code: str
    severity: Severity
    meaning: str
    who: str
    delay_ms: int = 0
    clear_ms: int = 0
    renewed: Renewed = "look"
    own: bool = False

    @property
    def message(self) -> Message:
        """Its title, and as its fix the advice, in every language."""
        return Message(f"kind-{self.code}")

    @property
    def title(self) -> str:
        """Its title in English; of one that this version does not know the code."""
        return self.message.problem if self.code in KINDS else self.code

    @property
    def advice(self) -> str:
        """What to do about it, in English; ``""`` for a kind that this version does not know."""
        return self.message.way_out if self.code in KINDS else ""


_INSTALLER, _OPERATOR, _BOTH = "installer", "operator", "both"

_ALL = (
    Kind(COMMS_LOST, "error",
         "a meter was silent twice in a row, and another one on its line was heard after that",
         _BOTH, 5 * S, 5 * S, "answer"),
    Kind(METERS_SILENT, "error",
         "three or more meters of one line fell silent within a minute, others on it answer; it stands for all of them",
         _BOTH, 0, 5 * S, "answer"),
    Kind(LINE_DOWN, "error",
         "the port is gone or cannot be opened, or no meter of the line answers",
         _BOTH, 5 * S, 5 * S, "answer"),
    Kind(SITE_SILENT, "critical",
         "all lines of the site are silent, or three or more fell silent within a minute; it stands for all of them",
         _BOTH, 0, 5 * S, "answer"),
    Kind(STALE, "warning",
         "a concentrator passes on values that it has not renewed (STALE), or a lively value stands still (FROZEN)",
         _BOTH, 10 * S, 60 * S, "answer"),
    Kind(COUNTER_BACK, "error",
         "a counter fell and its second reading agreed, so that its energy cannot be added up over this point",
         _BOTH, 0, 10 * MIN, "ends"),
    Kind(EXCHANGED, "error",
         "a device with another serial number answers, and no values are taken from it",
         _INSTALLER, 0, 0, "answer"),
    Kind(REFUSES, "error",
         "a meter answers with Modbus exception 01 to 04 to all that it is asked, or to a point that it does not have",
         _INSTALLER, 5 * S, 5 * S, "answer"),
    Kind(STRANGER, "warning",
         "somebody else asks meters on a line that is not `shared`; its values carry SHARED_LINE while it is heard and "
         "one hour more",
         _INSTALLER, 0, 0, "wait"),
    Kind(NOT_ASKED, "error",
         "another master uses every shape in which these points of a meter can be read; they carry NOT_ASKED while it "
         "does and one hour more",
         _BOTH, renewed="wait"),
    Kind(CRC_RATE, "warning",
         "more than 1 % of the last thousand frames arrive damaged, so that values are uncertain",
         _INSTALLER, 0, 60 * S, "wait"),
    Kind(WRONG_ANSWER, "error",
         "answers of another function or length than was asked, with a good checksum; no values are taken from them",
         _INSTALLER, 0, 0, "wait"),
    Kind(CLOCK, "warning",
         "the kernel does not call its clock synchronised, or the time is not known at all; values carry CLOCK_UNSYNC",
         _INSTALLER, 10 * MIN, 60 * S),
    Kind(CLOCK_STEP, "notice",
         "record times were brought to the system's clock, by a signed event that says from when to when",
         _OPERATOR, renewed="ends"),
    Kind(BUFFER, "warning",
         "the store comes near its limit, and only every 2nd, 5th or 10th poll is recorded",
         _BOTH, renewed="ends", own=True),
    Kind(STOPPED, "critical",
         "the disk takes nothing, or the limit is reached; polling goes on, and what is due is counted as missed",
         _BOTH, own=True),
    Kind(DISK, "warning",
         "at the present rate the store reaches its limit, or begins to record less, in less than 48 hours",
         _BOTH, 10 * MIN, H),
    Kind(DAMAGED, "critical",
         "SQLite's own check has found the database damaged",
         _INSTALLER, renewed="ends"),
    Kind(REPAIRED, "error",
         "a damaged database was recovered at the start; the event `repaired` names what is lost",
         _BOTH, renewed="ends", own=True),
    Kind(SIGNATURE, "critical",
         "a record of this database does not bear the signature of its meter's key",
         _BOTH, renewed="ends"),
    Kind(ANCHOR_OVERDUE, "warning",
         "a batch was sealed an hour ago, and this ledger has not settled it",
         _BOTH, H),
    Kind(LEDGER_REFUSED, "error",
         "a ledger does not take a batch, or gave a receipt that does not hold; nothing behind it is anchored there",
         _BOTH),
    Kind(LEDGER_LOST, "critical",
         "a ledger gave receipts for batches that it does not hold any more; what is kept here is given to it again",
         _BOTH, renewed="ends"),
    Kind(LEDGER_ODD, "error",
         "what a ledger tells of this gateway cannot be true, or it refuses to tell",
         _BOTH, renewed="wait"),
    Kind(ROLLBACK, "error",
         "a ledger holds batches that this database does not: it was restored, replaced, or the disk has lost writes",
         _BOTH, renewed="ends"),
    Kind(EQUIVOCATION, "critical",
         "a ledger holds another batch under a number that this gateway has sealed; sealing has stopped",
         _BOTH),
    Kind(FEED_AWAY, "warning",
         "a feed has told nobody anything for two minutes; readings are recorded, and told later as history",
         _BOTH, 2 * MIN, 10 * S),
    Kind(CERTIFICATE_END, "warning",
         "a TLS certificate that the configuration names ends within 30 days, or has ended",
         _BOTH),
    Kind(KEY_END, "warning",
         "a key in trust.toml that this gateway signs with, or believes a ledger by, ends within 30 days, or has ended",
         _BOTH),
    Kind(KEY_UNLISTED, "error",
         "trust.toml lacks a key that this gateway signs with, so that nothing signed with it can be verified",
         _BOTH),
    Kind(REVERTED, "error",
         "a meter answered nothing after a reload, so that the configuration before it is in force again",
         _BOTH, renewed="ends"),
    Kind(CONFIGURATION, "notice",
         "another configuration is in force, by a start or a reload; signed events name both by their SHA-256",
         _BOTH, renewed="ends"),
)  # fmt: skip

KINDS: Final = {kind.code: kind for kind in _ALL}


def kind_of(code: str) -> Kind:
    """The kind of a code; of one that this version does not know, as read from an older database, a plain warning."""
    return KINDS.get(code) or Kind(code, "warning", code, _BOTH, renewed="ends")
