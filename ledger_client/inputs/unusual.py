"""Unusual input: a code of docs/accounting.md, what it is about, and the facts of its sentence. Pure.

Unusual is not wrong. Each of them is something that an honest plant may have and that also makes a figure prettier, so
that a person has to look at it. A bound stands once, in the module that judges by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

SENTENCES: Final[Mapping[str, str]] = {
    "late": "{kind} of {of} for the time to {until} was at the ledgers on {at}, more than {days} days later",
    "no-document": "{kind} of {of} from {since}: {what}",
    "calibration-shift": "calibrations change the total of {node} from {without} to {total}, by more than {percent} %",
    "lab-range": "{of}: {what}",
    "substitute-low": "the substitute of {node} at {since} is {amount}, below the mean of its valid references, {mean}",
    "own-factor": "factor {id} of {node}: {what}",
    "own-profile": "profile {id} is the plan's own: {what}",
    "role": "{node} takes {meter}, which is configured as {role}, not as {needed}",
    "negative-term": "{node}, of role {role}, subtracts {point}",
    "meter-unused": "meter {meter} is configured, and no node has a point of it",
    "out-of-reach": "{of}: {what}",
    "closed-but-counting": "{node} was closed, and its registers gained {amount} after that",
    "settlement-below-0": "the settlement of {of} from {since} is {amount}",
    "m7": "{node} and its fuels differ by {share} of the measured, more than {percent} %",
    "retrospective": "{rows} rows of {nodes} are of the time before the plan was signed",
    "finding": "finding {name}: {count}",
}  # fmt: skip
"""By code, in the order in which they are listed."""
CODES: Final = tuple(SENTENCES)


class Unusual(NamedTuple):
    """One unusual input. ``of``: the node, point, meter, profile or factor; ``facts``: by the names in its sentence,
    and the ``reason`` that a plan gives for it; ``record``: of the entry, the plan or the statement that it is of."""

    code: str
    of: str
    facts: Mapping[str, str]
    record: bytes = b""

    @property
    def sentence(self) -> str:
        """In English."""
        reason = self.facts.get("reason")
        return SENTENCES[self.code].format_map(self.facts) + (f"; reason given: {reason}" if reason else "")
