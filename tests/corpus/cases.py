"""The cases of the corpus: what every verifier must answer. ``cases()`` reads them; nothing here verifies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
STEPS: Final = ("parse", "record", "inclusion", "statement", "sequence", "receipts", "validity", "policy")


@dataclass(frozen=True)
class Case:
    """One case: the paths of its bundle and its trust file, the time ``now`` (Unix seconds) of whoever verifies, and
    what is to be answered: ``verdict`` good, bad (with the ``step`` that fails) or trust (that file is refused)."""

    name: str
    file: Path
    trust: Path
    now: int
    verdict: str
    step: str | None
    why: str

    @property
    def number(self) -> int | None:
        """The step's number; None where none fails."""
        return None if self.step is None else STEPS.index(self.step) + 1

    @property
    def answer(self) -> tuple[str, str | None]:
        """The verdict and the step."""
        return self.verdict, self.step


@cache
def cases() -> tuple[Case, ...]:
    """All of them, by name."""
    return tuple(_case(path) for path in sorted((FOLDER / "cases").glob("*.json")))


def _case(path: Path) -> Case:
    facts = json.loads(path.read_text(encoding="utf-8"))
    now = int(datetime.fromisoformat(facts["now"]).timestamp())
    places = FOLDER / facts["file"], FOLDER / facts["trust"]
    return Case(path.stem, *places, now, facts["verdict"], facts["step"], facts["why"])
