"""Hypothesis strategies for what evidence may hold."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st

from ledger_client.formats.record import MISSED_REASONS, Claims, Coverage, Event
from ledger_client.formats.senml import PRIMARY_UNITS, SECONDARY_UNITS, Reading, Value
from tests.support.evidence import GATEWAY, METER

THOROUGH = settings(max_examples=200)

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
INTEGERS = st.one_of(
    st.integers(-(2**64), 2**64 - 1),
    st.sampled_from([n + d for n in (23, 24, 255, 256, 65535, 65536, 2**32, 2**64 - 2) for d in (-1, 0, 1)]),
    st.integers(-300, 300),
)
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@st.composite
def decimals(draw: st.DrawFn) -> Decimal:
    """mantissa × 10^exponent with the exponent that was drawn, as registers give them."""
    mantissa, exponent = draw(INTEGERS), draw(st.one_of(st.integers(-64, 64), st.integers(-4, 3)))
    return Decimal((int(mantissa < 0), tuple(map(int, str(abs(mantissa)))), exponent))


SCALARS = st.one_of(st.none(), st.booleans(), INTEGERS, FLOATS, TEXT, st.binary(max_size=40), decimals())
KEYS_SMALL = st.one_of(st.integers(-24, 23), TEXT)
KEYS_LARGE = st.integers(0, 2**64 - 1)
ITEMS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(KEYS_SMALL, inner, max_size=5),
        st.dictionaries(KEYS_LARGE, inner, max_size=5),
    ),
    max_leaves=12,
)

TIMES_MS = st.integers(0, 253_402_300_799_999)
UNITS = st.one_of(st.none(), st.sampled_from(sorted(PRIMARY_UNITS)), st.sampled_from(sorted(SECONDARY_UNITS)))
QUALITIES = st.one_of(st.just(0), st.integers(0, 2**64 - 1), st.integers(0, 28).map(lambda bit: 1 << bit))


@st.composite
def values(draw: st.DrawFn) -> Value:
    content = draw(st.one_of(INTEGERS, FLOATS, decimals(), st.booleans(), TEXT, st.none()))
    quality = draw(QUALITIES)
    if content is None and not quality:
        quality = 1
    if content == "":
        content, quality = None, quality or 1  # empty text is no value
    if isinstance(content, Decimal) and content.as_tuple().exponent == 0:
        content = int(content)  # and so are these
    return Value(draw(NAMES), content, draw(UNITS), quality, draw(st.one_of(st.just(0), TIMES_MS)))


READINGS = st.builds(
    Reading, TIMES_MS, st.lists(values(), min_size=1, max_size=6, unique_by=lambda v: (v.name, v.offset_ms)).map(tuple)
)
UINTS = st.integers(0, 2**64 - 1)
CLAIMS = st.builds(
    Claims,
    st.just(GATEWAY),
    st.just(METER),
    st.integers(0, 253_402_300_799),
    UINTS,
    UINTS,
    st.binary(min_size=8, max_size=8),
    st.one_of(st.none(), st.binary(min_size=32, max_size=32)),
    st.sampled_from("UISR"),
    st.one_of(st.none(), UINTS),
    st.one_of(st.none(), st.binary(min_size=16, max_size=16)),
)
REASONS = st.sampled_from(sorted(MISSED_REASONS))


@st.composite
def coverages(draw: st.DrawFn) -> Coverage:
    start, end = sorted([draw(TIMES_MS), draw(TIMES_MS)])
    missed = draw(st.dictionaries(REASONS, st.integers(0, 2**50), max_size=12))
    recorded = draw(st.integers(0, 2**50))
    return Coverage(start, end, recorded + sum(missed.values()), recorded, missed)


EVENTS = st.builds(Event, NAMES, st.dictionaries(TEXT.filter(lambda key: key != "event"), ITEMS, max_size=4))
