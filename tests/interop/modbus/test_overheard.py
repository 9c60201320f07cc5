"""A listener beside a master that is not ours (libmodbus): the short form of ``scripts/bench passive``."""

from __future__ import annotations

from benchmarks.truth.passive import SMALLEST, run


def test_pairs_are_those_of_the_line_and_nothing_is_sent() -> None:
    (options,) = SMALLEST
    found = run(**options)
    assert found["wrong"] == 0
    assert found["bytes_sent"] == 0
    assert float(str(found["pairs_taken"])) >= 0.99
    assert int(str(found["exchanges"])) > 100
    assert int(str(found["naive_wrong"])) > 0
