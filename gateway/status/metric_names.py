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
VALUE = (*METER, "role", "quantity", "phase")
"""Labels of the measured values, whose metrics are those of gateway/devices/knowledge/base_units.py."""

FIGURES = (
    Figure("meterseal_build_info", "gauge", "Always 1; identifies the gateway.", ("gateway", "version", "python")),
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
        "1: the meter's last poll was answered, or it is asleep; 0: it was not.",
        METER,
    ),
    Figure("meterseal_poll_period_seconds", "gauge", "Configured polling period of the meter.", METER),
    Figure(
        "meterseal_polls_total",
        "counter",
        "Due polls since the start: recorded, or the reason without a record.",
        (*METER, "outcome"),
    ),
    Figure(
        "meterseal_line_up",
        "gauge",
        "1: the line is open and a meter on it answers, or all of them are asleep.",
        LINE,
    ),
    Figure(
        "meterseal_line_busy_seconds_total", "counter", "Time spent sending requests and waiting for answers.", LINE
    ),
    Figure(
        "meterseal_line_stray_frames_total",
        "counter",
        "Frames that match no pending request, by kind.",
        (*LINE, "kind"),
    ),
    Figure("meterseal_line_silent_meters", "gauge", "Meters that are not responding and in back-off.", LINE),
    Figure("meterseal_store_records", "gauge", "Records in the database, by kind.", ("kind",)),
    Figure("meterseal_store_unsealed_records", "gauge", "Records that are not in a batch yet."),
    Figure("meterseal_store_used_bytes", "gauge", "Size of the database."),
    Figure("meterseal_store_limit_bytes", "gauge", "Size limit of the database."),
    Figure(
        "meterseal_store_horizon_seconds",
        "gauge",
        "Time until the limit at the present rate; +Inf: pruning frees enough.",
    ),
    Figure("meterseal_store_reserve_bytes", "gauge", "Size of the reserve for a full disk."),
    Figure("meterseal_recording_stopped", "gauge", "1 while nothing is recorded for this reason.", ("reason",)),
    Figure("meterseal_recording_every_polls", "gauge", "Recording decimation: 1 records every poll, N every Nth."),
    Figure("meterseal_recorder_waiting_readings", "gauge", "Readings waiting for the database."),
    Figure("meterseal_commit_duration_seconds", "histogram", "Duration of a commit of records, including the disk."),
    Figure("meterseal_batches_total", "counter", "Batches sealed in all."),
    Figure("meterseal_last_batch_timestamp_seconds", "gauge", "Time at which the newest batch was sealed."),
    Figure("meterseal_sealing_held", "gauge", "1 while sealing is held: a ledger must answer first, or forked."),
    Figure("meterseal_ledger_up", "gauge", "1: the last attempt to reach the ledger succeeded.", LEDGER),
    Figure("meterseal_ledger_batches", "gauge", "Batches in the database by state at the ledger.", (*LEDGER, "state")),
    Figure(
        "meterseal_ledger_unanchored_age_seconds",
        "gauge",
        "Age of the oldest record without a receipt of the ledger; 0: none.",
        LEDGER,
    ),
    Figure(
        "meterseal_ledger_last_receipt_timestamp_seconds",
        "gauge",
        "Time at which the ledger settled its newest batch.",
        LEDGER,
    ),
    Figure(
        "meterseal_ledger_conflicts", "gauge", "Batches for which the ledger holds another gateway's statement.", LEDGER
    ),
    Figure("meterseal_feed_connected", "gauge", "1: the feed is connected and publishes readings.", FEED),
    Figure("meterseal_feed_waiting_readings", "gauge", "Live readings waiting to be published.", FEED),
    Figure("meterseal_feed_backfill_records", "gauge", "Records waiting for backfill.", FEED),
    Figure("meterseal_feed_readings_total", "counter", "Readings published since the start, by kind.", (*FEED, "kind")),
    Figure(
        "meterseal_alarm_since_timestamp_seconds",
        "gauge",
        "Start time of an active alarm that is not shelved; without `meter` it is of a line or the gateway.",
        ("code", "severity", *METER),
    ),
    Figure("meterseal_alarms", "gauge", "Active alarms that are not shelved.", ("severity",)),
    Figure(
        "meterseal_certificate_end_timestamp_seconds",
        "gauge",
        "Expiry of a certificate of the configuration.",
        ("owner", "key"),
    ),
    Figure(
        "meterseal_key_end_timestamp_seconds",
        "gauge",
        "Expiry of a key of the trust file that has one; the key that is valid longest.",
        ("role", "owner"),
    ),
    Figure("meterseal_clock_state", "gauge", "1 for the state of the gateway's clock, 0 for the others.", ("state",)),
    Figure("meterseal_clock_error_seconds", "gauge", "Largest error of the clock, where the kernel reports it."),
    Figure("meterseal_event_loop_lag_seconds", "histogram", "Delay with which the event loop calls a scheduled task."),
)
