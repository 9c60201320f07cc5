"""Go's ``golang.org/x/mod/sumdb/note`` as a judge of notes, built from Debian's sources."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ledger_client.formats.notes import Vkey

SOURCES = Path("/usr/share/gocode")  # golang-golang-x-mod-dev
HERE = Path(__file__).parent


def built(folder: Path) -> Path:
    """The program, built in ``folder`` without a network."""
    program = folder / "judge"
    env = os.environ | {
        "GO111MODULE": "off", "GOPATH": str(SOURCES), "GOFLAGS": "", "GOCACHE": str(folder / "cache"),
        "CGO_ENABLED": "0",
    }  # fmt: skip
    command: list[str | Path] = ["go", "build", "-o", program, HERE / "judge.go"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\n(Debian: apt-get install golang-go golang-golang-x-mod-dev)"
    return program


def judged(program: Path, keys: Sequence[Vkey], notes: Sequence[bytes]) -> list[str]:
    """What it says of each note: "ok NAME … + OTHERS", or "no"."""
    given = b"".join(b"%d\n%s" % (len(note), note) for note in notes)
    done = subprocess.run([program, *(key.text for key in keys)], input=given, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()
