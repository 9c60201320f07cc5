"""Passive pairing on lines that are shifted: the short form of ``scripts/bench passive``."""

from __future__ import annotations

# not quick: lines by chance, 1 s of CPU
import pytest

from benchmarks.truth.shifted_figures import KINDS, LIFE_S, TIMEOUT_S, life_of, listener, the_35
from benchmarks.truth.shifted_lines import judged, random_line


@pytest.mark.parametrize("kind", KINDS)
def test_no_pair_of_the_35_is_wrong(kind: str) -> None:
    lines = list(the_35(kind, 40.0))
    found = {name: judged(heard, listener(life_of(kind)), TIMEOUT_S) for name, _, heard in lines}
    assert len(found) == 35
    assert {name: one["wrong"] for name, one in found.items() if one["wrong"]} == {}
    assert kind == "bridge" or sum(one["taken"] for one in found.values()) > 1_000


@pytest.mark.parametrize("pauses", [False, True], ids=["no pauses", "pauses"])
@pytest.mark.parametrize("faults", [False, True], ids=["no faults", "faults"])
def test_no_pair_of_a_line_that_is_drawn_is_wrong(pauses: bool, faults: bool) -> None:
    found = {}
    for seed in range(40 if pauses else 12):  # without pauses they are longer
        heard = random_line(seed, LIFE_S, pauses=pauses, faults=faults)
        found[seed] = judged(heard, listener(), TIMEOUT_S)
    assert {seed: one["wrong"] for seed, one in found.items() if one["wrong"]} == {}
    assert sum(one["taken"] for one in found.values()) > 0.3 * sum(one["right"] for one in found.values())
