"""Whatever stands in a plan or an entry: a statement comes out, or it is refused by its rule. Nothing else."""

from __future__ import annotations

# not quick: junk by chance, 2 s of CPU
import copy
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_client.accounting.formats.entries import parse_entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.formats.record import Event
from tests.oracle.comparison import product
from tests.oracle.histories import history, stack

JUNK: list[Any] = [
    None, -1, 0, 1, 10**30, -(10**18), "x", "", [], {}, 1.5, -0.0, b"x", True, Decimal("1E+60"), Decimal(-3), "1/0",
    "nan", [1, 2], ["x"], {"x": 1},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in nested maps and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def spoilt(value: Any, chance: Random) -> Any:
    """A copy with something else, or nothing, in one place."""
    value = copy.deepcopy(value)
    *way, last = chance.choice([*places(value)])
    inner = value
    for key in way:
        inner = inner[key]
    if chance.random() < 0.1:
        del inner[last]
    else:
        inner[last] = chance.choice(JUNK)
    return value


@settings(max_examples=250, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_a_plan_of_junk_is_refused(seed: int) -> None:
    chance = Random(seed)
    made = (stack if seed % 8 == 0 else history)(Random(seed % 16))
    made.plan = spoilt(made.plan, chance)
    with suppress(AccountingError):
        parse_plan(made.plan)
        product(made)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_an_entry_of_junk_is_refused(seed: int) -> None:
    chance = Random(seed)
    made = history(Random(seed % 16))
    entries = [n for n, t in enumerate(made.records) if isinstance(t.body, Event) and t.body.name == "entry"]
    if not entries:
        return
    place = chance.choice(entries)
    fields = spoilt(dict(made.records[place].body.fields), chance)  # type: ignore[union-attr]
    made.records[place] = made.records[place]._replace(body=Event("entry", fields))
    with suppress(AccountingError):
        parse_entry(fields)
        product(made)
