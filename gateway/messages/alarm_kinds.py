"""Alarm kinds: code, severity, meaning, delays before raising and clearing.

One table for the board, the pages and the feeds; docs/alarms.md lists the same. Title and advice of a kind stand in
the catalogues, as ``kind-CODE``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from gateway.messages.message import Message

Severity = Literal["critical", "error", "warning", "notice"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "error", "warning", "notice")
"""The worst first. Critical: evidence is being lost, or cannot be trusted. Error: a function has failed."""

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
    LIMIT = "limit"
    VALUE_BAD = "value-bad"
    COUNTER_BACK = "counter-back"
    RATIO_DIFFERS = "ratio-differs"
    METER_EXCHANGED = "meter-exchanged"
    METER_REFUSES = "meter-refuses"
    STRANGER = "stranger"
    NOT_ASKED = "not-asked"
    CRC_RATE = "crc-rate"
    WRONG_ANSWER = "wrong-answer"
    TWO_DEVICES = "two-devices"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    LINE_OVERLOADED = "line-overloaded"
    INTERVAL = "interval"
    WRITE_SEEN = "write-seen"
    ANSWERS_DOUBTFUL = "answers-doubtful"
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
    NOTIFY_FAILING = "notify-failing"
    CERTIFICATE_END = "certificate-end"
    KEY_AWAY = "key-away"
    KEY_END = "key-end"
    KEY_UNLISTED = "key-unlisted"
    CONFIGURATION_REVERTED = "configuration-reverted"
    CONFIGURATION_CHANGED = "configuration-changed"
    HOUR_LOST = "hour-lost"
    STACK_SILENT = "stack-silent"
    STATEMENT_OVERDUE = "statement-overdue"
    EXPORT_OVERDUE = "export-overdue"
    FACTOR_OUTDATED = "factor-outdated"
    OVER_ISSUED = "over-issued"


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
        AlarmCode.TWO_DEVICES,
        AlarmCode.TOO_MANY_CONNECTIONS,
        AlarmCode.LINE_OVERLOADED,
        AlarmCode.INTERVAL,
        AlarmCode.WRITE_SEEN,
        AlarmCode.ANSWERS_DOUBTFUL,
        AlarmCode.STALE,
        AlarmCode.LIMIT,
        AlarmCode.VALUE_BAD,
        AlarmCode.COUNTER_BACK,
        AlarmCode.RATIO_DIFFERS,
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
EVENT_CODES: Final = frozenset(
    {AlarmCode.COUNTER_BACK, AlarmCode.CLOCK_STEP, AlarmCode.CONFIGURATION_CHANGED, AlarmCode.HOUR_LOST}
)
"""Alarms of what has happened and does not last: that one has cleared says nothing."""
S, MIN, H = 1000, 60_000, 3_600_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of alarm. ``on_delay_ms``: how long its condition must be true before it is raised; ``off_delay_ms``:
    how long false before it is cleared. ``signed_by_finder``: whoever finds it signs its events, and the board none.
    """

    code: str
    severity: Severity
    meaning: str
    audience: str
    on_delay_ms: int = 0
    off_delay_ms: int = 0
    after_restart: AfterRestart = "look"
    signed_by_finder: bool = False

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
    Kind(AlarmCode.COMMS_LOST, "error",
         "a meter did not answer twice in a row, and another meter of its line answered after that",
         _BOTH, 5 * S, 5 * S, "answer"),
    Kind(AlarmCode.METERS_SILENT, "error",
         "three or more meters of one line stopped answering within a minute while others answer; one alarm for all",
         _BOTH, 0, 5 * S, "answer"),
    Kind(AlarmCode.LINE_DOWN, "error",
         "the port is missing or cannot be opened, or no meter of the line answers",
         _BOTH, 5 * S, 5 * S, "answer"),
    Kind(AlarmCode.SITE_SILENT, "critical",
         "no line of the site answers, or three or more stopped answering within a minute; one alarm for all",
         _BOTH, 0, 5 * S, "answer"),
    Kind(AlarmCode.STALE, "warning",
         "a concentrator returns values that it has not updated (STALE), a lively value does not change (FROZEN), or a "
         "power above or below 0 stands for an hour while other points of its meter move; each of them is named",
         _BOTH, 10 * S, 60 * S, "answer"),
    Kind(AlarmCode.LIMIT, "warning",
         "values of a meter are outside their `limits`; one alarm for all of its values",
         _BOTH, 30 * S, 60 * S, "answer"),
    Kind(AlarmCode.VALUE_BAD, "error",
         "values of a meter are bad; one alarm for all of its values",
         _BOTH, 5 * MIN, 60 * S, "answer"),
    Kind(AlarmCode.COUNTER_BACK, "error",
         "a counter decreased and a second reading confirmed it: no energy difference across this point",
         _BOTH, 0, 10 * MIN, "ends"),
    Kind(AlarmCode.RATIO_DIFFERS, "error",
         "a transformer ratio set in the meter is not the one of the configuration; values that it concerns are "
         "IMPLAUSIBLE",
         _BOTH, 0, 0, "answer"),
    Kind(AlarmCode.METER_EXCHANGED, "error",
         "a device with another serial number answers; its values are not used",
         _INSTALLER, 0, 0, "answer"),
    Kind(AlarmCode.METER_REFUSES, "error",
         "a meter answers every request, or requests for a missing point, with Modbus exception 01 to 04",
         _INSTALLER, 5 * S, 5 * S, "answer"),
    Kind(AlarmCode.STRANGER, "warning",
         "another master polls meters on a line that is not `shared`; values of the line carry SHARED_LINE until one "
         "hour after its last frame",
         _INSTALLER, 0, 0, "wait"),
    Kind(AlarmCode.NOT_ASKED, "error",
         "another master uses every request with which these points of a meter can be read; they carry NOT_ASKED until "
         "one hour after that",
         _BOTH, after_restart="wait"),
    Kind(AlarmCode.CRC_RATE, "warning",
         "more than 1 % of the last thousand frames were damaged; values are uncertain",
         _INSTALLER, 0, 60 * S, "wait"),
    Kind(AlarmCode.WRONG_ANSWER, "error",
         "answers with a valid checksum, but of another function, length or data identifier; their values are not used",
         _INSTALLER, 0, 0, "wait"),
    Kind(AlarmCode.TWO_DEVICES, "error",
         "a second address connects to a bus with `listen` more than twice in a minute, or for a minute, while "
         "the device of another one answers",
         _INSTALLER, 0, 60 * S, "wait"),
    Kind(AlarmCode.TOO_MANY_CONNECTIONS, "warning",
         "a bus of type hj212 has as many connections as it may have; older ones are closed for new ones",
         _INSTALLER, 0, 60 * S, "wait"),
    Kind(AlarmCode.LINE_OVERLOADED, "error",
         "for five minutes, or five of its longest period, more than 5 % of the due polls of a line were `skipped` or "
         "`no-shape`; over when less than 2.5 % are",
         _BOTH, 0, 0, "wait"),
    Kind(AlarmCode.INTERVAL, "warning",
         "five messages in a row of a meter that sends unasked came more than a quarter sooner or later than `every`",
         _INSTALLER, 0, 0, "wait"),
    Kind(AlarmCode.WRITE_SEEN, "warning",
         "on a line that is only listened to, another master wrote to a meter; a signed event has function and address",
         _BOTH, 0, 0, "wait"),
    Kind(AlarmCode.ANSWERS_DOUBTFUL, "error",
         "on a line that is only listened to, a meter answers, but each answer may be that to an earlier question of "
         "the other master; none is used",
         _BOTH, 5 * MIN, 60 * S, "wait"),
    Kind(AlarmCode.CLOCK, "warning",
         "the kernel reports its clock as not synchronised, or the time is unknown; values carry CLOCK_UNSYNC",
         _INSTALLER, 10 * MIN, 60 * S),
    Kind(AlarmCode.CLOCK_STEP, "notice",
         "record times were set to the system clock; a signed event states the times before and after",
         _OPERATOR, after_restart="ends"),
    Kind(AlarmCode.BUFFER, "warning",
         "the store is near its limit; only every 2nd, 5th or 10th poll is recorded",
         _BOTH, after_restart="ends", signed_by_finder=True),
    Kind(AlarmCode.RECORDING_STOPPED, "critical",
         "the database cannot be written, or the limit is reached; polling continues, due polls count as missed",
         _BOTH, signed_by_finder=True),
    Kind(AlarmCode.DISK, "warning",
         "at the present rate the store reaches its limit, or recording is reduced, in less than 48 hours",
         _BOTH, 10 * MIN, H),
    Kind(AlarmCode.DATABASE_DAMAGED, "critical",
         "SQLite's integrity check found the database damaged",
         _INSTALLER, after_restart="ends"),
    Kind(AlarmCode.DATABASE_REPAIRED, "error",
         "a damaged database was recovered at the start; the event `repaired` lists the losses",
         _BOTH, after_restart="ends", signed_by_finder=True),
    Kind(AlarmCode.SIGNATURE_FAILURE, "critical",
         "a record in this database lacks a valid signature of its meter's key",
         _BOTH, after_restart="ends"),
    Kind(AlarmCode.ANCHOR_OVERDUE, "warning",
         "a batch was sealed an hour ago and is not settled by this ledger",
         _BOTH, H),
    Kind(AlarmCode.LEDGER_REFUSED, "error",
         "a ledger refuses a batch, or issued an invalid receipt; no later batch is anchored there",
         _BOTH),
    Kind(AlarmCode.LEDGER_LOST, "critical",
         "a ledger no longer holds batches that it issued receipts for; batches kept here are submitted again",
         _BOTH, after_restart="ends"),
    Kind(AlarmCode.LEDGER_ODD, "error",
         "a ledger's answers about this gateway are inconsistent, or it refuses to answer",
         _BOTH, after_restart="wait"),
    Kind(AlarmCode.ROLLBACK, "error",
         "a ledger holds batches that this database lacks: it was restored or replaced, or the disk lost writes",
         _BOTH, after_restart="ends"),
    Kind(AlarmCode.EQUIVOCATION, "critical",
         "a ledger holds another batch under a number that this gateway has sealed; sealing is stopped",
         _BOTH),
    Kind(AlarmCode.FEED_AWAY, "warning",
         "a feed has not published for two minutes; readings are recorded and published later as history",
         _BOTH, 2 * MIN, 10 * S),
    Kind(AlarmCode.NOTIFY_FAILING, "error",
         "for two minutes a notification has not been delivered, or not to each of its recipients",
         _BOTH, 2 * MIN, 10 * S),
    Kind(AlarmCode.CERTIFICATE_END, "warning",
         "a TLS certificate named in the configuration expires within 30 days, or has expired",
         _BOTH),
    Kind(AlarmCode.KEY_AWAY, "error",
         "the token with the statement key does not answer, or is not there; readings are recorded, and what the key "
         "signs waits: events, batches, changes",
         _BOTH, after_restart="ends"),
    Kind(AlarmCode.KEY_END, "warning",
         "a key in trust.toml, of this gateway or of a ledger that it uses, expires within 30 days, or has expired; or "
         "trust.toml itself does (`expires`): the gateway goes on by it, verifiers refuse it",
         _BOTH),
    Kind(AlarmCode.KEY_UNLISTED, "error",
         "trust.toml lacks a signing key of this gateway; nothing signed with it can be verified",
         _BOTH),
    Kind(AlarmCode.CONFIGURATION_REVERTED, "error",
         "a meter did not answer after a reload; the previous configuration is in force again",
         _BOTH, after_restart="ends"),
    Kind(AlarmCode.CONFIGURATION_CHANGED, "notice",
         "another configuration is in force after a start or reload; signed events contain the SHA-256 of both",
         _BOTH, after_restart="ends"),
    Kind(AlarmCode.HOUR_LOST, "warning",
         "an interval of a plan's node is `unallocated`, `unknown` or `missing`; cleared by the next one that is not",
         _OPERATOR),
    Kind(AlarmCode.STACK_SILENT, "error",
         "a measured emission of a plan has had no valid hour for 96 h; after more than 120 h the authority is to be "
         "informed (H6)",
         _BOTH, 96 * H),
    Kind(AlarmCode.STATEMENT_OVERDUE, "warning",
         "a month of a plan has been over for five days and is not stated; its records are not pruned before",
         _OPERATOR, 120 * H),
    Kind(AlarmCode.EXPORT_OVERDUE, "warning",
         "batches with records of a plan have been older than `keep` for a day and are not exported; pruning waits",
         _OPERATOR, 24 * H),
    Kind(AlarmCode.FACTOR_OUTDATED, "warning",
         "a plan takes a factor by the year of use, and this version brings one of a later year",
         _OPERATOR),
    Kind(AlarmCode.OVER_ISSUED, "error",
         "a ledger shows certificates of more units than the newest statement here gives for their hours (C3); "
         "one hour never makes up for another",
         _OPERATOR),
)  # fmt: skip

KINDS: Final = {kind.code: kind for kind in _ALL}


def kind_of(code: str) -> Kind:
    """The kind of a code; of one that this version does not know, as read from an older database, a plain warning."""
    return KINDS.get(code) or Kind(code, "warning", code, _BOTH, after_restart="ends")
