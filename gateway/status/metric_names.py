"""List of the metrics at `/metrics`: name, help text, labels. docs/metrics.md is the same list for people.

Names, base units and suffixes follow prometheus.io/docs/practices/naming. A label takes only values that the
configuration or this program names, so that no meter and no stranger can make new series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One family of series. A counter's name ends in ``_total``, which the series bear and the family does not."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


METER, LINE, LEDGER, FEED = ("meter", "line"), ("line",), ("ledger",), ("feed",)

FIGURES = (
    Figure("meterseal_build_info", "gauge", "Always 1; which gateway this is.", ("gateway", "version", "python")),
    Figure(
        "meterseal_reading_timestamp_seconds",
        "gauge",
        "Time of the newest reading of this start, recorded or not, by the gateway's clock.",
        METER,
    ),
    Figure(
        "meterseal_reading_quality",
        "gauge",
        "1 for the worst verdict among the values of the newest reading, 0 for the others.",
        (*METER, "verdict"),
    ),
    Figure(
        "meterseal_meter_up",
        "gauge",
        "1: the meter's last poll was answered, or it is one that may sleep and does; 0: it was not.",
        METER,
    ),
    Figure("meterseal_poll_period_seconds", "gauge", "How often the meter is to be read.", METER),
    Figure(
        "meterseal_polls_total",
        "counter",
        "Due polls since the start: recorded, or why there is no record.",
        (*METER, "outcome"),
    ),
    Figure(
        "meterseal_line_up",
        "gauge",
        "1: the line is open and a meter on it answers, or all of them may sleep and do.",
        LINE,
    ),
    Figure("meterseal_line_busy_seconds_total", "counter", "Time in which the line was asked and listened to.", LINE),
    Figure(
        "meterseal_line_stray_frames_total", "counter", "Frames that answer no open question, by kind.", (*LINE, "kind")
    ),
    Figure("meterseal_line_silent_meters", "gauge", "Meters that do not answer and are asked seldom.", LINE),
    Figure("meterseal_store_records", "gauge", "Records in the database, by kind.", ("kind",)),
    Figure("meterseal_store_unsealed_records", "gauge", "Records that no batch holds yet."),
    Figure("meterseal_store_used_bytes", "gauge", "Size of the database."),
    Figure("meterseal_store_limit_bytes", "gauge", "What it may grow to."),
    Figure(
        "meterseal_store_horizon_seconds", "gauge", "How long there is room at this rate; +Inf: pruning makes enough."
    ),
    Figure("meterseal_store_reserve_bytes", "gauge", "Size of the reserve for a full disk."),
    Figure("meterseal_recording_stopped", "gauge", "1 while nothing is recorded for this reason.", ("reason",)),
    Figure("meterseal_recording_every_polls", "gauge", "Every so-manieth poll is recorded: 1, or more when it thins."),
    Figure("meterseal_recorder_waiting_readings", "gauge", "Readings that wait for the database."),
    Figure("meterseal_commit_duration_seconds", "histogram", "Time of a commit of records, the disk's included."),
    Figure("meterseal_batches_total", "counter", "Batches ever sealed."),
    Figure("meterseal_last_batch_timestamp_seconds", "gauge", "When the newest batch was sealed."),
    Figure("meterseal_sealing_held", "gauge", "1 while nothing is sealed: a ledger has to be heard first, or forked."),
    Figure("meterseal_ledger_up", "gauge", "1: the last attempt to reach the ledger has succeeded.", LEDGER),
    Figure("meterseal_ledger_batches", "gauge", "Batches in the database by state at the ledger.", (*LEDGER, "state")),
    Figure(
        "meterseal_ledger_unanchored_age_seconds",
        "gauge",
        "Age of the oldest record without a receipt of the ledger; 0: none.",
        LEDGER,
    ),
    Figure(
        "meterseal_ledger_last_receipt_timestamp_seconds", "gauge", "When the ledger settled its newest batch.", LEDGER
    ),
    Figure(
        "meterseal_ledger_conflicts", "gauge", "Batches for which the ledger holds another gateway's statement.", LEDGER
    ),
    Figure("meterseal_feed_connected", "gauge", "1: it is connected, and tells readings.", FEED),
    Figure("meterseal_feed_waiting_readings", "gauge", "Live readings that wait to be told.", FEED),
    Figure("meterseal_feed_backfill_records", "gauge", "Records that are still to be told as history.", FEED),
    Figure("meterseal_feed_readings_total", "counter", "Readings told since the start, by kind.", (*FEED, "kind")),
    Figure(
        "meterseal_alarm_since_timestamp_seconds",
        "gauge",
        "Since when an alarm is true that is not shelved; where `meter` is empty it is of a line or the gateway.",
        ("code", "severity", *METER),
    ),
    Figure("meterseal_alarms", "gauge", "Alarms that are true and not shelved.", ("severity",)),
    Figure(
        "meterseal_certificate_end_timestamp_seconds",
        "gauge",
        "When a certificate ends that the configuration names.",
        ("owner", "key"),
    ),
    Figure(
        "meterseal_key_end_timestamp_seconds",
        "gauge",
        "When a key of the trust file ends that has an end; the one that counts longest.",
        ("role", "owner"),
    ),
    Figure("meterseal_clock_state", "gauge", "1 for the state of the gateway's clock, 0 for the others.", ("state",)),
    Figure("meterseal_clock_error_seconds", "gauge", "Largest error of the clock, where the kernel tells."),
    Figure("meterseal_event_loop_lag_seconds", "histogram", "How much later than asked the event loop calls a task."),
)
