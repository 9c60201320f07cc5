"""Clock set and lost, disk slow and failing, meters late, process killed at any moment: due polls are counted once."""

from __future__ import annotations

# not quick: histories by chance, 5 s of CPU
from typing import Any

import pytest

from tests.campaigns.honest import honest_histories


def test_whatever_becomes_of_clock_disk_and_process_an_audit_counts_every_due_poll_once() -> None:
    figures: dict[str, Any] = honest_histories.run(**honest_histories.SMALLEST[0])
    assert figures["findings_of"] == []
    assert min(figures["kinds"].values()) >= 5, "the histories have become too quiet"
    assert min(figures["ends"].values()) >= 5, "the histories have become too quiet"


@pytest.mark.parametrize("seed", [20930, 21250, 21435, 21950, 30246, 40992, 51265])
def test_histories_in_which_an_audit_found_something_once(seed: int) -> None:
    """Messages that waited while the clock was set forward, changes faster than a series, a reading dated on into the
    next second: each was found among two thousand."""
    figures: dict[str, Any] = honest_histories.run(1, seed, 1)
    assert figures["findings_of"] == []
