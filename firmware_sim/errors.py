"""Exceptions of the simulator.

SimError                    root; its text says where, what is wrong and the fix; the command prints it and exits with 2
├── CompareError            a log, readings, or what goes with them, that cannot be compared
├── ScenarioError           the scenario file: which file, which key, what is wrong
├── StateError              the state file: it is damaged, of another plant, or cannot be used
└── WireError               a serial path, a TCP port or an output file that cannot be used
"""

from __future__ import annotations


class SimError(Exception):
    """The run cannot start."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}\n  fix: {fix}")
        self.problem, self.fix = problem, fix


class CompareError(SimError):
    """Files that cannot be compared."""


class ScenarioError(SimError):
    """A scenario that cannot be run."""

    def __init__(self, file: str, key: str, problem: str, fix: str) -> None:
        super().__init__(f"{file}: {key}: {problem}" if key else f"{file}: {problem}", fix)
        self.file, self.key = file, key


class StateError(SimError):
    """A state from which this plant does not go on."""


class WireError(SimError):
    """A path or port that cannot be used."""
