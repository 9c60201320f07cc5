"""The short form of ``scripts/campaign sim-kills``: a plant is killed four times, and goes on."""

from __future__ import annotations

# not quick: processes run
from tests.campaigns.simulator.sim_kills import SMALLEST, run


def test_a_plant_that_is_killed_goes_on() -> None:
    found = run(**SMALLEST[0])
    assert found["answers"] != 0
    bad = ("counters_fallen", "serials_changed", "wrong_answers", "starts_refused", "last_exit_code")
    assert {name: found[name] for name in bad} == dict.fromkeys(bad, 0)
    assert found["frozen_values"] == 1
