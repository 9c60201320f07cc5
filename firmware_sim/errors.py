"""Exceptions of the simulator.

SimError                    root; its text says what, where and the fix; the command shows it and leaves with 2
├── ScenarioError           the scenario file: which file, which key, what is wrong
└── WireError               a serial path, a TCP port or an output file that cannot be used
"""

from __future__ import annotations


class SimError(Exception):
    """The run cannot start."""

    def __init__(self, problem: str, way_out: str) -> None:
        super().__init__(f"{problem}\n  fix: {way_out}")
        self.problem, self.way_out = problem, way_out


class ScenarioError(SimError):
    """A scenario that cannot be run."""

    def __init__(self, file: str, key: str, problem: str, way_out: str) -> None:
        super().__init__(f"{file}: {key}: {problem}" if key else f"{file}: {problem}", way_out)
        self.file, self.key = file, key


class WireError(SimError):
    """A path or port that cannot be used."""
