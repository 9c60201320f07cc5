"""Summaries counted again from the records themselves, by the strict parser and without any of the gateway's ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from math import isfinite

import pytest

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.history.aggregate_codec import Form, form_of, unpack
from gateway.history.aggregates import PointStats
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, parse_record
from ledger_client.formats.senml import Reading, Value


@dataclass
class Counted:
    """One minute or hour."""

    times: list[int] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)
    values: dict[str, list[tuple[int, Value]]] = field(default_factory=dict)


Spans = dict[tuple[str, int], dict[int, Counted]]


def recount(store: Database) -> Spans:
    """By meter and length of span: every span of the records that are there, by its beginning."""
    found: Spans = {}
    now_ms: Counter[str] = Counter()
    for row in store.records.rows(0, 1 << 60):
        body = parse_record(row.data).body
        if not isinstance(body, Reading | Coverage) or (isinstance(body, Coverage) and not body.due):
            continue
        time_ms = body.time_ms if isinstance(body, Reading) else body.to_ms - 1
        now_ms[row.meter] = max(now_ms[row.meter], time_ms)
        for span_ms in (MINUTE_MS, HOUR_MS):
            spans = found.setdefault((row.meter, span_ms), {})
            _count(spans.setdefault(now_ms[row.meter] // span_ms * span_ms, Counted()), body)
    return found


def _count(span: Counted, body: Reading | Coverage) -> None:
    if isinstance(body, Coverage):
        span.missed.update(body.missed)
        return
    span.times.append(body.time_ms)
    for value in body.values:
        if not value.name.endswith((".first", ".second")):
            span.values.setdefault(value.name, []).append((body.time_ms, value))


def check_summaries(store: Database, whole: Collection[str] = ()) -> int:
    """Every row says what the records say, and between rows there is no span without one; of the meters ``whole`` every
    span but the running one has its row. Gives the number of rows."""
    forms = {number: Form(points) for number, points in store.summaries.forms().items()}
    rows = 0
    for (meter, span_ms), counted in recount(store).items():
        kept = dict(store.summaries.between(meter, span_ms, 0, 1 << 60))
        most = len(counted) - 1
        assert list(kept) == sorted(counted)[:most][: len(kept)]
        assert len(kept) == most or meter not in whole
        for start_ms, data in kept.items():
            span, expected = unpack(data, start_ms, forms[form_of(data)]), counted[start_ms]
            assert span.readings == len(expected.times)
            assert span.missed == +expected.missed
            assert set(span.points) == set(expected.values)
            if expected.times:
                assert (span.first_ms, span.last_ms) == (expected.times[0], expected.times[-1])
            for name, values in expected.values.items():
                check_figures(span.points[name], values)
        rows += len(kept)
    return rows


def check_figures(figures: PointStats, entries: list[tuple[int, Value]]) -> None:
    """The figures of one point are those of these entries."""
    bits = value_bits = 0
    there = []
    for time_ms, value in entries:
        bits |= value.quality
        if value.value is not None and not (value.value == "" and value.quality):  # that is no value in a record
            there.append((time_ms, value.value))
            value_bits |= value.quality
    assert (figures.bits, figures.value_bits, figures.count) == (bits, value_bits, len(there))
    if not there:
        assert (figures.first, figures.last, figures.low, figures.high, figures.mean) == (None,) * 5
        return
    assert (figures.first_ms, figures.last_ms) == (there[0][0], there[-1][0])
    assert _same(figures.first, there[0][1])
    assert _same(figures.last, there[-1][1])
    contents = [content for _, content in there]
    if any(isinstance(content, str) for content in contents):
        assert (figures.low, figures.high, figures.mean) == (None, None, None)
        return
    numbers = [content for content in contents if content is not None and not isinstance(content, str)]
    assert (figures.low, figures.high) == (min(numbers), max(numbers))
    total = sum(map(float, numbers))
    if not isfinite(total):
        assert figures.mean is None
        return
    way = float(max(numbers)) - float(min(numbers))
    rounded = 1e-9 * max(map(abs, map(float, numbers)))
    assert figures.mean == pytest.approx(total / len(numbers), abs=max(2e-5 * way, rounded))


def _same(kept: object, recorded: object) -> bool:
    """Decimals with their digits: 1.50 is not 1.5, and 1 is not 1.0."""
    if isinstance(recorded, bool):
        recorded = int(recorded)
    return kept == recorded and type(kept) is type(recorded) and str(kept).strip("-") == str(recorded).strip("-")
