"""What counts for a statement is returned, never written into what was handed in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import BadReceipt, NotIncluded, UnknownLedger
from ledger_client.formats.bundle import Locator
from ledger_client.verification.online_facts import ChainFact, OnlineFacts
from ledger_client.verification.vouching import count_places, earliest
from tests.support.evidence import LEDGER, NOW, T0, trust

ID = bytes(range(32))
times = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9))


@given(times, times)
def test_of_two_counts_each_ledger_has_its_earliest_time(one: dict[str, int], other: dict[str, int]) -> None:
    kept = dict(one), dict(other)
    both = earliest(one, other)
    assert (one, other) == kept
    assert both == {name: min(x[name] for x in (one, other) if name in x) for name in one.keys() | other.keys()}
    assert list(both)[: len(one)] == list(one)


def test_each_place_counts_or_is_told_why_not() -> None:
    def place(number: int, ledger: str = LEDGER) -> Locator:
        return Locator(ledger, 5, bytes(20), number.to_bytes(32), number, bytes(32))

    early, late, other, stranger, failed, unasked = (place(n, "stranger" if n == 3 else LEDGER) for n in range(6))
    failure = NotIncluded("is not there", step=6)
    facts = OnlineFacts(
        {
            early: ChainFact(ID, T0, shared=True),
            late: ChainFact(ID, T0 + 60, shared=False),
            other: ChainFact(bytes(32), T0, shared=False),
            stranger: ChainFact(ID, T0, shared=False),
            failed: failure,
        }
    )
    vouching, failures, notes = count_places([late, early, other, stranger, failed, unasked], ID, facts, trust(), NOW)
    assert vouching == {LEDGER: T0}
    assert [(ledger, type(error)) for ledger, error in failures] == [
        (LEDGER, BadReceipt),
        ("stranger", UnknownLedger),
        (LEDGER, NotIncluded),
    ]
    assert failures[-1][1] is failure
    assert [note.partition(": ")[0] for note in notes] == [LEDGER, LEDGER]
    assert "under a root shared" in notes[0]
    assert "said to be on chain 5, block 5" in notes[1]
