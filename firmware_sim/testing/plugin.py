"""pytest plugin: the fixture ``meterseal_sim``, which starts simulated meters for a test.

pytest loads this module in every run where Meterseal is installed, so it imports nothing of ours before a test takes
the fixture, and hooks into nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from firmware_sim.testing.simulation import Start


@pytest.fixture
def meterseal_sim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a simulator: ``meterseal_sim(scenario, seed=…, ports={…})`` gives a running ``Simulation``.

    ``scenario`` is the path of a file, a plant that comes with Meterseal by its name, the text of a scenario, or the
    same as a dict. Each ends with the test, also where the test is killed. docs/pytest.md shows it.
    """
    from firmware_sim.testing.simulation import running

    with running(base=request.path.parent, folder=tmp_path_factory.mktemp("meterseal-sim")) as start:
        yield start
