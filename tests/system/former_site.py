"""A site of a former release as text, written down and put back.

Each file of the folder becomes a text: a database its SQL (``.sql``); a file that is no text or holds a private key its
base64 (``.base64``); a long text is compressed first (``.gz.base64``). The keys are throw-away keys of a simulation.
"""

from __future__ import annotations

import base64
import gzip
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

PLACE = Path(__file__).with_suffix("")
PRAGMAS = ("user_version", "application_id")
SQLITE = b"SQLite format 3\x00"
LONG = 50_000
LEFT_OUT = {"answers.jsonl", "ready.json", "reserve", "meterseal.lock", "lock"}


def write_down(folder: Path, place: Path) -> None:
    """Write the files of a folder in which nothing runs into ``place``."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.name in LEFT_OUT or path.suffix == ".log":
            continue
        name, data = path.relative_to(folder).as_posix(), path.read_bytes()
        if data.startswith(SQLITE):
            name, data = name + ".sql", ("\n".join(_statements(path)) + "\n").encode()
        elif not data or name.endswith(("-wal", "-shm")):
            continue
        if len(data) > LONG:
            name, data = name + ".gz", gzip.compress(data, mtime=0)
        if b"PRIVATE KEY" in data or not _is_text(data):
            name, data = name + ".base64", _base64(data)
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _is_text(data: bytes) -> bool:
    try:
        return b"\x00" not in data and bool(data.decode())
    except UnicodeDecodeError:
        return False


def _base64(data: bytes) -> bytes:
    return ("\n".join(textwrap.wrap(base64.b64encode(data).decode(), 120)) + "\n").encode()


def _statements(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as database:
        for name in PRAGMAS:
            (value,) = database.execute(f"PRAGMA {name}").fetchone()
            yield f"PRAGMA {name} = {value};"
        yield from database.iterdump()


def put_back(folder: Path, place: Path = PLACE) -> Path:
    """Make the files again in ``folder``, readable by their owner only; returns it."""
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        target, data = folder / path.relative_to(place), path.read_bytes()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if target.suffix == ".base64":
            target, data = target.with_suffix(""), base64.b64decode(data)
        if target.suffix == ".gz":
            target, data = target.with_suffix(""), gzip.decompress(data)
        if target.suffix == ".sql":
            with closing(sqlite3.connect(target.with_suffix(""))) as database:
                database.executescript(data.decode())
        else:
            target.write_bytes(data)
            target.chmod(0o600)
    return folder
