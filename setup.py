"""What pyproject.toml cannot say of a build: the commit that it is made from, which ``--version`` prints."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def commit() -> str:
    """Of these sources, ``-dirty`` behind it where they are not as committed; ``""`` where they are no checkout."""
    if "METERSEAL_COMMIT" in os.environ:
        return os.environ["METERSEAL_COMMIT"]

    def git(*words: str) -> str:
        try:
            return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()
        except OSError:
            return ""

    if git("rev-parse", "--show-toplevel") != str(ROOT):
        return ""
    return git("describe", "--always", "--abbrev=12", "--exclude=*", "--dirty")


class BuildWithCommit(build_py):
    """Puts the commit beside the modules; sources in use where they lie (``pip install -e``) move on without it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode and (made_from := commit()):
            Path(self.build_lib, "ledger_client", "commit.txt").write_text(made_from + "\n")


setup(cmdclass={"build_py": BuildWithCommit})
