"""The campaign ``compare`` in short: a gateway and a script on lines of the plant ``hell``, judged by the simulator."""

from __future__ import annotations

from tests.campaigns.simulator import compare


def test_the_gateway_has_nothing_wrong_or_missing_unsaid_and_a_script_of_thirty_lines_has() -> None:
    found = compare.run(**compare.SMALLEST[0])
    assert (found["ours_wrong"], found["ours_missing_unsaid"], found["ours_doubled"]) == (0, 0, 0), found
    assert (found["standing_wrong"], found["naive_missing_said"]) == (0, 0)
    for some in ("ours_right", "ours_faithful", "ours_missing_said", "standing_faithful", "naive_right"):
        assert found[some] > 0, found
    assert (found["naive_wrong"] == 0, found["naive_missing_unsaid"] == 0) == (False, False), found
