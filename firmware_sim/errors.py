"""What can be wrong with a simulator run.

SimError                    root; the command shows it as one line and leaves with exit code 2
├── ScenarioError           the scenario file: which file, which key, what is wrong, the way out
└── WireError               a serial path or a TCP port that cannot be served, and the way out
"""

from __future__ import annotations


class SimError(Exception):
    """The run cannot start."""


class ScenarioError(SimError):
    """A scenario that cannot be run."""

    def __init__(self, file: str, key: str, problem: str, way_out: str) -> None:
        super().__init__(": ".join(part for part in (file, key, f"{problem}; {way_out}") if part))
        self.file, self.key, self.problem, self.way_out = file, key, problem, way_out


class WireError(SimError):
    """A path or port that something else holds."""
