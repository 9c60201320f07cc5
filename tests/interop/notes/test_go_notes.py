"""Our notes before a judge that is not ours: Go's sumdb/note takes what we sign, and refuses what we refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ledger_client.errors import VerificationError
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.notes import MAX_NOTE, Line, Note, cosigned, demand_signed, parse_note
from tests.interop.notes.judge import built, judged
from tests.ledger_client.formats.test_notes import FOO, FOO_NOTE, NO_NOTES
from tests.support.witnesses.heads import head_of, log_key, witness

LOG, W1, W2 = log_key().vkey, witness("w1").vkey, witness("w2").vkey
TREE = Tree([leaf_hash(b"%d" % number) for number in range(5)])
HEAD = head_of(TREE)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("go"))


def _ours(data: bytes) -> str:
    """Our verdict in the judge's words, of the keys LOG, W1, W2."""
    try:
        note = parse_note(data)
        demand_signed(note, LOG)
        names = [key.name for key in (W1, W2) if cosigned(note, key) is not None]
    except VerificationError:
        return "no"
    return " ".join(["ok", LOG.name, *names, "+", str(len(note.lines) - 1 - len(names))])


def test_the_judge_agrees_with_us_on_notes_of_ours_and_on_what_is_none(judge: Path) -> None:
    stranger = Line("stranger.example/x", b"abcd", bytes(72))
    forged = replace(HEAD.lines[1], signature=bytes(72))
    notes = [
        HEAD.encode(),
        head_of(TREE, witnesses=()).encode(),
        Note(HEAD.text, (*HEAD.lines, stranger)).encode(),
        Note(HEAD.text, (HEAD.lines[0], forged)).encode(),
        Note(HEAD.text, (replace(HEAD.lines[0], signature=bytes(64)), *HEAD.lines[1:])).encode(),
        Note(HEAD.text.replace("5\n", "6\n", 1), HEAD.lines).encode(),
        *(text.encode() for name, text in NO_NOTES.items() if len(text) < MAX_NOTE and name not in WE_ARE_STRICTER),
    ]
    verdicts = judged(judge, [LOG, W1, W2], notes)
    assert verdicts == [_ours(note) for note in notes]
    assert verdicts[:3] == [
        f"ok {LOG.name} {W1.name} {W2.name} + 0", f"ok {LOG.name} + 0", f"ok {LOG.name} {W1.name} {W2.name} + 1",
    ]  # fmt: skip
    assert set(verdicts[3:]) == {"no"}
    (foreign,) = judged(judge, [], [FOO_NOTE.encode()]) + judged(judge, [type(LOG).parse(FOO)], [FOO_NOTE.encode()])[1:]
    assert foreign == "no"


WE_ARE_STRICTER = {"bits behind the end"}
"""Go's base64 takes several forms of the same bytes."""
