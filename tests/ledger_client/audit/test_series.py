"""Series of an audit: each is noted with its period and how often a message came."""

from __future__ import annotations

from ledger_client.audit.records import Shape
from ledger_client.audit.result import Audit, SeriesAccount
from ledger_client.audit.series import Intervals

GAS, FLOW, BOTH = Shape(("gas",), ()), Shape(("flow", "gas"), ("gas",)), Shape(("flow", "gas"), ())
A_MINUTE_MS, A_DAY_MS = 60_000, 86_400_000


def account(
    every_ms: int, *readings: tuple[int, Shape], late: frozenset[int] = frozenset()
) -> tuple[SeriesAccount, str]:
    """Of readings at these seconds; ``late``: those of them that were sent again."""
    result = Audit()
    intervals = Intervals(result, {"series": every_ms}.get)
    for at_s, shape in readings:
        intervals.reading("series", at_s * 1000, shape, late=at_s in late)
        intervals.reading("polled", at_s * 1000, shape, late=False)
    intervals.end()
    (note,) = result.notes
    assert result.meters.keys() == {"series"}
    series = result.meters["series"].series
    assert series is not None
    return series, note


def test_a_series_that_sends_more_often_than_it_says() -> None:
    assert account(A_DAY_MS, *((at_s, BOTH) for at_s in (0, 10, 20, 29, 40, 3600))) == (
        SeriesAccount(A_DAY_MS, 6, 10.0),
        "meter series is a series, not polled: one message is due each 86400 s; one came every 10 s (median)",
    )


def test_parts_of_one_message_are_one_and_messages_sent_again_none() -> None:
    parts = [(at_s + n, shape) for at_s in (0, 60, 120, 180) for n, shape in enumerate((GAS, FLOW))]
    assert account(A_MINUTE_MS, *parts)[0] == SeriesAccount(A_MINUTE_MS, 4, 60.0)
    assert account(A_MINUTE_MS, (0, GAS), (1, GAS), (2, GAS))[0] == SeriesAccount(A_MINUTE_MS, 3, 1.0)
    assert account(A_MINUTE_MS, (0, GAS), (40, FLOW))[0] == SeriesAccount(A_MINUTE_MS, 2, 40.0)  # too late for a part
    late = account(A_MINUTE_MS, (0, BOTH), (1, BOTH), (60, BOTH), late=frozenset({1}))
    assert late[0] == SeriesAccount(A_MINUTE_MS, 2, 60.0)


def test_a_series_that_has_sent_once() -> None:
    assert account(A_MINUTE_MS, (0, BOTH)) == (
        SeriesAccount(A_MINUTE_MS, 1, None),
        "meter series is a series, not polled: one message is due each 60 s; no two came",
    )
