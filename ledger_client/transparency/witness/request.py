"""Requests to a witness (C2SP tlog-witness, add-checkpoint): their form, and what is answered. Pure.

A request has the size that its sender believes the witness to have cosigned last, the path that leads from there to a
new head, and that head as the log signed it. The answer is a cosignature, or why there is none.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger_client.errors import Malformed, VerificationError
from ledger_client.formats.merkle import EMPTY_ROOT, root_from_consistency
from ledger_client.formats.notes import MAX_NOTE, MAX_SIZE, Checkpoint, Note, parse_checkpoint, parse_note, unbase64

MAX_PATH: Final = 63
MAX_BODY: Final = MAX_NOTE + 64 * 64
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
OK, BAD, FORBIDDEN, UNKNOWN, OTHER_SIZE, REFUSED = 200, 400, 403, 404, 409, 422


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an answer; ``why``: what the witness's own output says of it."""

    status: int
    body: str
    media_type: str = TEXT_TYPE
    why: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request that was read: nothing of it is verified yet."""

    old: int
    path: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint


def encode(old: int, path: Sequence[bytes], note: Note) -> bytes:
    """The body of a request."""
    lines = "".join(base64.b64encode(one).decode() + "\n" for one in path)
    return f"old {old}\n{lines}\n".encode() + note.encode()


def parse(body: bytes) -> Submitted:
    """Read the body of a request strictly; ``Malformed``."""
    head, blank, rest = body.partition(b"\n\n")
    if not blank:
        raise Malformed("the request has no empty line before the checkpoint")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Malformed("the request is not ASCII before the checkpoint") from None
    if len(lines) > MAX_PATH:
        raise Malformed(f"the path has {len(lines)} hashes, the cap is {MAX_PATH}")
    path = tuple(unbase64(line, "a hash of the path") for line in lines)
    if any(len(one) != 32 for one in path):
        raise Malformed("a hash of the path is not 32 bytes")
    note = parse_note(rest)
    return Submitted(_old(first), path, note, parse_checkpoint(note.text))


def _old(line: str) -> int:
    digits = line.removeprefix("old ")
    if digits == line or not digits.isdigit() or len(digits) > 19 or str(int(digits)) != digits:
        raise Malformed("the request does not begin with a line: old SIZE")
    if int(digits) > MAX_SIZE:
        raise Malformed(f"the old size is {digits}")
    return int(digits)


def refusal(asked: Submitted, known: Checkpoint | None) -> Answer | None:
    """Why the head is not cosigned by a witness that cosigned ``known`` last (None: nothing of this log yet); None
    where it is ``known``, or extends it. The signature of the log is verified already."""
    size = 0 if known is None else known.size
    new = asked.checkpoint
    if asked.old > new.size:
        return Answer(BAD, f"old {asked.old} is larger than the checkpoint, {new.size}\n")
    if asked.old != size:
        return Answer(OTHER_SIZE, f"{size}\n", SIZE_TYPE)
    if problem := _problem(asked, known):
        return Answer(REFUSED, problem + "\n", why=problem)
    return None


def _problem(asked: Submitted, known: Checkpoint | None) -> str | None:
    new = asked.checkpoint
    if new.size == 0 and new.root != EMPTY_ROOT:
        return "the root of no entries is not that of the empty tree"
    if known is None or known.size in (0, new.size):
        if asked.path:
            return "a path that is not empty, and no entries between the two sizes for one"
        if known is not None and known.size == new.size and known.root != new.root:
            return f"another root over the same {new.size} entries: the log has forked"
        return None
    try:
        if root_from_consistency(known.size, new.size, known.root, asked.path) == new.root:
            return None
    except VerificationError:
        pass
    return f"the log of {new.size} entries is not shown to begin with that of {known.size} which was cosigned"
