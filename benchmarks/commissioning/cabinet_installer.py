"""The installer: types at a terminal what README says, and answers the wizard with what he sees on the displays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pexpect

from benchmarks.commissioning.cabinet_plant import Displays, Unit

PATIENCE_S: Final = 600.0
PROMPT: Final = "CABINET> "
_METER = r"─ ([\w.-]+)[^─\n]* ─"


class Terminal:
    """A shell on a pseudo-terminal in an empty folder. ``typed``: the commands so far."""

    def __init__(self, folder: Path, path: str) -> None:
        self._log = (folder.parent / "terminal.log").open("w+")
        env = {"PATH": path, "PS1": PROMPT, "HOME": str(folder), "LANG": "C.UTF-8", "TERM": "dumb"}
        self.child = pexpect.spawn(
            "bash", ["--norc", "--noprofile", "-i"], cwd=str(folder), env=env, encoding="utf-8", timeout=PATIENCE_S,
            dimensions=(60, 200), logfile=self._log, echo=False,
        )  # fmt: skip
        self.child.expect_exact(PROMPT)
        self.typed: list[str] = []

    def type(self, line: str) -> None:
        """One command, which is not waited for."""
        self.typed.append(line)
        self.child.sendline(line)

    def done(self) -> int:
        """The exit code of the last command, when it has ended."""
        self.child.expect_exact(PROMPT)
        self.child.sendline("echo code=$?")
        self.child.expect(r"code=(\d+)")
        code = int(self.child.match[1])
        self.child.expect_exact(PROMPT)
        return code

    @property
    def screen(self) -> str:
        """All that stood on it."""
        self._log.flush()
        return Path(self._log.name).read_text()

    def close(self) -> None:
        """End the shell and what it has started."""
        self.child.close(force=True)
        self._log.close()


class Installer:
    """Answers the questions of `meterseal commission`. ``named``: meters that the wizard has said may be reversed."""

    def __init__(self, terminal: Terminal, units: Sequence[Unit], displays: Displays) -> None:
        self._child, self._displays = terminal.child, displays
        self._units = {unit.name: unit for unit in units}
        self.named: set[str] = set()
        self.done: list[str] = []

    def commission(self) -> None:
        """Until the command has ended."""
        unit: Unit | None = None
        answers = self._answers()
        patterns = [PROMPT, _METER, "may be wired the wrong way round", *answers]
        while True:
            found = self._child.expect(patterns)
            if found == 0:
                self._child.sendline("")  # the prompt once more, for whoever waits for the end
                return
            if found == 1:
                unit = self._units.get(self._child.match[1], unit)
            elif found == 2 and unit is not None:
                self.named.add(unit.name)
            elif found > 2:
                self._child.sendline(list(answers.values())[found - 3](unit, self._child.match))

    def _answers(self) -> Mapping[str, Callable[[Any, re.Match[str]], str]]:
        """What is typed at which prompt."""
        return {
            r"which meter .*: ": lambda unit, match: "all",
            r"who puts .*: ": lambda unit, match: "Installer",
            r"current transformer ratio .*: ": lambda unit, match: unit.ct or "1",
            r"voltage transformer ratio .*: ": lambda unit, match: "1",
            r"(\w+) is (\S+) (\S+); the display shows .*: ": self._display,
            r"there for .*: ": lambda unit, match: unit.role,
            r"wrong way round \(.*: ": lambda unit, match: "yes" if unit.name in self.named else "no",
            r"limits of a value.*more\).*: ": lambda unit, match: "",
            r"number on the plate .*: ": lambda unit, match: unit.serial,
            r"number of a seal .*: ": self._seal,
            r"where it stands .*: ": lambda unit, match: "cabinet 7",
            r"file of a photo .*: ": lambda unit, match: "",
            r"its name on the pages .*: ": lambda unit, match: "",
            r"remarks .*: ": lambda unit, match: "",
            r"write this .*: ": lambda unit, match: "y",
        }

    def _display(self, unit: Unit, match: re.Match[str]) -> str:
        return self._displays.shows(unit.name, match[1])

    def _seal(self, unit: Unit, match: re.Match[str]) -> str:
        """One seal a meter."""
        if unit.name in self.done:
            return ""
        self.done.append(unit.name)
        return f"S-{unit.address}"
