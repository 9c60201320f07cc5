"""Catalogue of alarm kinds: code, severity, delays before raising and clearing, remedy.

One table for the board, the pages (whose table has the Chinese) and the feeds; docs/alarms.md lists the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

Severity = Literal["critical", "error", "warning", "notice"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "error", "warning", "notice")
"""From the worst on. Critical: evidence is being lost, or cannot be believed. Error: something does not work."""

AfterRestart = Literal["answer", "look", "wait", "ends"]
"""How an alarm that was active before a restart is cleared, unless its condition is found again: when one of its meters
gives a reading (answer); by the next check, which is made at once (look); after ten minutes (wait); at once (ends)."""


class AlarmCode(StrEnum):
    """Codes of alarms: field ``code`` of the signed events `alarm`, of feeds and of metrics.

    Names of events are another matter (``gateway.records``), also where the word is the same: `clock`, `rollback`.
    """

    COMMS_LOST = "comms-lost"
    METERS_SILENT = "meters-silent"
    LINE_DOWN = "line-down"
    SITE_SILENT = "site-silent"
    STALE = "stale"
    COUNTER_BACK = "counter-back"
    METER_EXCHANGED = "meter-exchanged"
    METER_REFUSES = "meter-refuses"
    STRANGER = "stranger"
    NOT_ASKED = "not-asked"
    CRC_RATE = "crc-rate"
    WRONG_ANSWER = "wrong-answer"
    CLOCK = "clock"
    CLOCK_STEP = "clock-step"
    BUFFER = "buffer"
    RECORDING_STOPPED = "recording-stopped"
    DISK = "disk"
    DATABASE_DAMAGED = "database-damaged"
    DATABASE_REPAIRED = "database-repaired"
    SIGNATURE_FAILURE = "signature-failure"
    ANCHOR_OVERDUE = "anchor-overdue"
    LEDGER_REFUSED = "ledger-refused"
    LEDGER_LOST = "ledger-lost"
    LEDGER_ODD = "ledger-odd"
    ROLLBACK = "rollback"
    EQUIVOCATION = "equivocation"
    FEED_AWAY = "feed-away"
    CERTIFICATE_END = "certificate-end"
    KEY_END = "key-end"
    KEY_UNLISTED = "key-unlisted"
    CONFIGURATION_REVERTED = "configuration-reverted"
    CONFIGURATION_CHANGED = "configuration-changed"


LINE_CODES: Final = frozenset(
    {
        AlarmCode.COMMS_LOST,
        AlarmCode.METERS_SILENT,
        AlarmCode.LINE_DOWN,
        AlarmCode.METER_EXCHANGED,
        AlarmCode.METER_REFUSES,
        AlarmCode.STRANGER,
        AlarmCode.NOT_ASKED,
        AlarmCode.CRC_RATE,
        AlarmCode.WRONG_ANSWER,
        AlarmCode.STALE,
        AlarmCode.COUNTER_BACK,
    }
)
"""Alarms whose ``line`` is a line of the configuration."""
LEDGER_CODES: Final = frozenset(
    {
        AlarmCode.LEDGER_REFUSED,
        AlarmCode.LEDGER_LOST,
        AlarmCode.LEDGER_ODD,
        AlarmCode.ROLLBACK,
        AlarmCode.EQUIVOCATION,
    }
)
"""Alarms whose ``line`` is "ledger NAME"."""
S, MIN, H = 1000, 60_000, 3_600_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of alarm. ``on_delay_ms``: how long its condition must be true before it is raised; ``off_delay_ms``:
    how long false before it is cleared. ``signed_by_finder``: whoever finds it signs its events, and the board none.
    """

    code: str
    severity: Severity
    title: str
    meaning: str
    advice: str
    audience: str
    on_delay_ms: int = 0
    off_delay_ms: int = 0
    after_restart: AfterRestart = "look"
    signed_by_finder: bool = False


_INSTALLER, _OPERATOR, _BOTH = "installer", "operator", "both"

_ALL = (
    Kind(AlarmCode.COMMS_LOST, "error", "Meter does not answer",
         "a meter was silent twice in a row, and another one on its line was heard after that",
         "check its power, its cable and its address", _BOTH, 5 * S, 5 * S, "answer"),
    Kind(AlarmCode.METERS_SILENT, "error", "Several meters of a line do not answer",
         "three or more meters of one line fell silent within a minute, others on it answer; it stands for all of them",
         "look for what they have in common: the cable behind the last one that answers, a fuse, a converter",
         _BOTH, 0, 5 * S, "answer"),
    Kind(AlarmCode.LINE_DOWN, "error", "Line does not answer",
         "the port is gone or cannot be opened, or no meter of the line answers",
         "check adapter, cable, network and power, and the line settings", _BOTH, 5 * S, 5 * S, "answer"),
    Kind(AlarmCode.SITE_SILENT, "critical", "Several lines do not answer",
         "all lines of the site are silent, or three or more fell silent within a minute; it stands for all of them",
         "look for what these lines have in common: the site's power, a switch, a converter",
         _BOTH, 0, 5 * S, "answer"),
    Kind(AlarmCode.STALE, "warning", "Values do not move",
         "a concentrator passes on values that it has not renewed (STALE), or a lively value stands still (FROZEN)",
         "look at the meter behind the concentrator, or at the sensor itself", _BOTH, 10 * S, 60 * S, "answer"),
    Kind(AlarmCode.COUNTER_BACK, "error", "Counter went back",
         "a counter fell and its second reading agreed, so that its energy cannot be added up over this point",
         "find out if the meter was reset, exchanged or tampered with; the record holds both readings",
         _BOTH, 0, 10 * MIN, "ends"),
    Kind(AlarmCode.METER_EXCHANGED, "error", "Another meter answers",
         "a device with another serial number answers, and no values are taken from it",
         "if it was exchanged: meterseal accept CONFIG METER --serial NUMBER; if not, check what is plugged in where",
         _INSTALLER, 0, 0, "answer"),
    Kind(AlarmCode.METER_REFUSES, "error", "Meter refuses",
         "a meter answers with Modbus exception 01 to 04 to all that it is asked, or to a point that it does not have",
         "compare function and address with its register map, or leave the point out: points = […] of the meter",
         _INSTALLER, 5 * S, 5 * S, "answer"),
    Kind(AlarmCode.STRANGER, "warning", "Another master on the line",
         "somebody else asks meters on a line that is not `shared`; its values carry SHARED_LINE while it is heard and "
         "one hour more",
         "take the other master off the line, then `meterseal clear-shared CONFIG BUS`; or give the bus shared = true",
         _INSTALLER, 0, 0, "wait"),
    Kind(AlarmCode.NOT_ASKED, "error", "Points not asked",
         "another master uses every shape in which these points of a meter can be read; they carry NOT_ASKED while it "
         "does and one hour more",
         "take the other master off the line, then `meterseal clear-shared CONFIG BUS`", _BOTH, after_restart="wait"),
    Kind(AlarmCode.CRC_RATE, "warning", "Damaged frames",
         "more than 1 % of the last thousand frames arrive damaged, so that values are uncertain",
         "check cable, shield and terminators, and whether two devices share an address",
         _INSTALLER, 0, 60 * S, "wait"),
    Kind(AlarmCode.WRONG_ANSWER, "error", "Meter answers what it was not asked",
         "answers of another function or length than was asked, with a good checksum; no values are taken from them",
         "compare its profile with its register map, update its firmware, check that no two devices have its address",
         _INSTALLER, 0, 0, "wait"),
    Kind(AlarmCode.CLOCK, "warning", "Clock not synchronised",
         "the kernel does not call its clock synchronised, or the time is not known at all; values carry CLOCK_UNSYNC",
         "check NTP: `timedatectl`, `meterseal doctor CONFIG`", _INSTALLER, 10 * MIN, 60 * S),
    Kind(AlarmCode.CLOCK_STEP, "notice", "Clock was corrected",
         "record times were brought to the system's clock, by a signed event that says from when to when",
         "none, unless it happens again and again: then check NTP and the battery of the clock",
         _OPERATOR, after_restart="ends"),
    Kind(AlarmCode.BUFFER, "warning", "Recording thinned",
         "the store comes near its limit, and only every 2nd, 5th or 10th poll is recorded",
         "free space on its disk, raise max_size in [store], or see why no ledger gives receipts",
         _BOTH, after_restart="ends", signed_by_finder=True),
    Kind(AlarmCode.RECORDING_STOPPED, "critical", "Recording has stopped",
         "the disk takes nothing, or the limit is reached; polling goes on, and what is due is counted as missed",
         "free space on the disk, or look at the disk: `meterseal doctor CONFIG`", _BOTH, signed_by_finder=True),
    Kind(AlarmCode.DISK, "warning", "Room for less than two days",
         "at the present rate the store reaches its limit, or begins to record less, in less than 48 hours",
         "free space on its disk, raise max_size in [store], or see why no ledger gives receipts",
         _BOTH, 10 * MIN, H),
    Kind(AlarmCode.DATABASE_DAMAGED, "critical", "Database damaged",
         "SQLite's own check has found the database damaged",
         "stop the gateway and start it, which recovers what can be read",
         _INSTALLER, after_restart="ends"),
    Kind(AlarmCode.DATABASE_REPAIRED, "error", "Database repaired",
         "a damaged database was recovered at the start; the event `repaired` names what is lost",
         "copy the damaged files off the machine, and replace the card or disk",
         _BOTH, after_restart="ends", signed_by_finder=True),
    Kind(AlarmCode.SIGNATURE_FAILURE, "critical", "A signature does not hold",
         "a record of this database does not bear the signature of its meter's key",
         "stop the gateway, keep a copy of the database, and find out who has written to it",
         _BOTH, after_restart="ends"),
    Kind(AlarmCode.ANCHOR_OVERDUE, "warning", "Anchoring is overdue",
         "a batch was sealed an hour ago, and this ledger has not settled it",
         "see if the ledger can be reached: `meterseal doctor CONFIG`; nothing is lost meanwhile", _BOTH, H),
    Kind(AlarmCode.LEDGER_REFUSED, "error", "A ledger refuses",
         "a ledger does not take a batch, or gave a receipt that does not hold; nothing behind it is anchored there",
         "do what its text says (docs/ledger.md)", _BOTH),
    Kind(AlarmCode.LEDGER_LOST, "critical", "A ledger has lost data",
         "a ledger gave receipts for batches that it does not hold any more; what is kept here is given to it again",
         "have its operator restore it from a newer copy", _BOTH, after_restart="ends"),
    Kind(AlarmCode.LEDGER_ODD, "error", "A ledger contradicts itself",
         "what a ledger tells of this gateway cannot be true, or it refuses to tell",
         "have its operator look at it; sealing may wait meanwhile", _BOTH, after_restart="wait"),
    Kind(AlarmCode.ROLLBACK, "error", "Database older than a ledger",
         "a ledger holds batches that this database does not: it was restored, replaced, or the disk has lost writes",
         "if nobody restored it, distrust the disk: `meterseal doctor CONFIG` (docs/storage.md)",
         _BOTH, after_restart="ends"),
    Kind(AlarmCode.EQUIVOCATION, "critical", "Two gateways bear one name",
         "a ledger holds another batch under a number that this gateway has sealed; sealing has stopped",
         "stop the other gateway for good, then move this database aside (docs/storage.md)", _BOTH),
    Kind(AlarmCode.FEED_AWAY, "warning", "A feed does not reach its broker",
         "a feed has told nobody anything for two minutes; readings are recorded, and told later as history",
         "check its broker, the network and the login: `meterseal doctor CONFIG`", _BOTH, 2 * MIN, 10 * S),
    Kind(AlarmCode.CERTIFICATE_END, "warning", "Certificate near its end",
         "a TLS certificate that the configuration names ends within 30 days, or has ended",
         "renew it and put the new file in its place; it is read again by itself", _BOTH),
    Kind(AlarmCode.KEY_END, "warning", "Key near its end",
         "a key in trust.toml that this gateway signs with, or believes a ledger by, ends within 30 days, or has ended",
         "make its successor known to ledger and verifiers in time (docs/ledger.md)", _BOTH),
    Kind(AlarmCode.KEY_UNLISTED, "error", "Key is not in the trust file",
         "trust.toml lacks a key that this gateway signs with, so that nothing signed with it can be verified",
         "meterseal-ledger trust add trust.toml keys/gateway.enrol, and hand both to ledger and verifiers", _BOTH),
    Kind(AlarmCode.CONFIGURATION_REVERTED, "error", "Configuration went back",
         "a meter answered nothing after a reload, so that the configuration before it is in force again",
         "mend gateway.toml or put the old one back, then `meterseal reload CONFIG`", _BOTH, after_restart="ends"),
    Kind(AlarmCode.CONFIGURATION_CHANGED, "notice", "Configuration changed",
         "another configuration is in force, by a start or a reload; signed events name both by their SHA-256",
         "acknowledge it if you know who did it", _BOTH, after_restart="ends"),
)  # fmt: skip

KINDS: Final = {kind.code: kind for kind in _ALL}


def kind_of(code: str) -> Kind:
    """The kind of a code; of one that this version does not know, as read from an older database, a plain warning."""
    return KINDS.get(code) or Kind(code, "warning", code, code, "", _BOTH, after_restart="ends")
