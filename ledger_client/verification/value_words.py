"""Values and their quality in words, for every page, table and verdict. No I/O."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from ledger_client.formats.senml import Quality
from ledger_client.log_lines import printable

QUALITY_PHRASES: Final = {
    Quality.COMM_FAIL: "the meter did not answer",
    Quality.DECODE_ERR: "not available: the meter sent its code for no value, or nothing that can be one",
    Quality.NOT_FOUND: "the device does not have this point",
    Quality.DEVICE_FAULT: "the device says that it is faulty",
    Quality.STALE: "older than it may be",
    Quality.FROZEN: "does not move though it should",
    Quality.RANGE_HIGH: "above the plausible range",
    Quality.RANGE_LOW: "below the plausible range",
    Quality.CAL_RANGE: "outside the calibrated range",
    Quality.MAINTENANCE: "under maintenance",
    Quality.CALIBRATING: "calibration gas or zero check, not the process",
    Quality.STOPPED: "the instrument is switched off",
    Quality.MANUAL: "entered by hand",
    Quality.SUBSTITUTED: "a substitute value, not measured",
    Quality.OUT_OF_CONTROL: "failed its last drift or quality check",
    Quality.CAL_OVERDUE: "calibration is overdue",
    Quality.ROLLOVER: "the counter went over its largest number",
    Quality.COUNTER_RESET: "the counter fell: no difference may be taken across it",
    Quality.METER_EXCHANGED: "another meter stands here: no difference may be taken across it",
    Quality.TAMPER: "the device reports tampering",
    Quality.IMPLAUSIBLE: "in doubt: a counter jumped and the next polls have not confirmed it yet, or rises faster "
    "than max_per_hour; damaged frames on its line; another ratio in the meter; a message without a check value",
    Quality.CLOCK_UNSYNC: "the gateway's clock was not synchronised",
    Quality.CLOCK_STEP: "the gateway's clock was set in this interval",
    Quality.LATE: "delivered late",
    Quality.CACHED: "a concentrator may have answered from memory",
    Quality.SHARED_LINE: "another master talks on this line",
    Quality.IDENTITY_UNPROVEN: "the meter does not tell its serial number",
    Quality.CONFIG_CHANGED: "the configuration changed in this interval",
    Quality.BLOCKED: "blocked by the operator",
    Quality.NOT_ASKED: "not asked, or not in a way that tells its answer from another's",
}
"""What each quality bit says, for whoever reads a value: the words of every page, table and verdict."""


def quality_phrases(flags: int) -> tuple[str, ...]:
    """What each set bit says, lowest first; a bit that this version does not know by its number."""
    bits = (1 << n for n in range(flags.bit_length()) if flags >> n & 1)
    return tuple(QUALITY_PHRASES.get(Quality(bit), f"unknown flag, bit {bit.bit_length() - 1}") for bit in bits)


def quality_in_words(flags: int) -> str:
    """What the quality bits of a value say; ``good`` when none is set."""
    return ", ".join(quality_phrases(flags)) or "good"


def number_text(value: object) -> str:
    """A value with exactly the decimals that were recorded."""
    match value:
        case None:
            return "no value"
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return f"{value:f}"
        case bytes():
            return value.hex()
    return printable(str(value))
