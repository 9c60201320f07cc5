"""A witness: what it cosigns, what it refuses and with which status; its memory is on disk before it answers."""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from ledger_client.errors import LedgerClientError
from ledger_client.formats.merkle import EMPTY_ROOT, Tree, leaf_hash
from ledger_client.formats.notes import (
    Checkpoint,
    Line,
    Note,
    Vkey,
    cosigned,
    demand_signed,
    parse_checkpoint,
    parse_lines,
    parse_note,
    signed_line,
)
from ledger_client.transparency.log import tree
from ledger_client.transparency.witness.folder import Witness, logs_of
from ledger_client.transparency.witness.request import MAX_PATH, SIZE_TYPE, Answer, encode
from tests.support.evidence import LEDGER, T0, key
from tests.support.witnesses.heads import head_of, log_key, origin

NAME = "witness.example/w"
TRUE = [leaf_hash(b"%d" % number) for number in range(40)]
FALSE = [*TRUE[:5], *(leaf_hash(b"forked %d" % number) for number in range(35))]
LOGS = {origin(): log_key().vkey}


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    with closing(Witness(tmp_path / "w", NAME, LOGS)) as made:
        yield made


def note(leaves: list[bytes], size: int) -> Note:
    return head_of(Tree(leaves[:size]), witnesses=())


def path(leaves: list[bytes], old: int, size: int) -> tuple[bytes, ...]:
    def read(level: int, number: int) -> bytes:
        return Tree(leaves[number << level : (number + 1) << level]).root

    return tree.consistency(old, size, read) if 0 < old < size else ()


def ask(witness: Witness, old: int, size: int, leaves: list[bytes] = TRUE, *, time_s: int = T0) -> Answer:
    return witness.add(encode(old, path(leaves, old, size), note(leaves, size)), lambda: time_s)


def at_once(*asking: Callable[[], Answer]) -> list[Answer]:
    start = threading.Barrier(len(asking))

    def one(ask_now: Callable[[], Answer]) -> Answer:
        start.wait()
        return ask_now()

    with ThreadPoolExecutor(len(asking)) as pool:
        return list(pool.map(one, asking))


def size_of(witness: Witness) -> int | None:
    """By what it shows to monitors."""
    data = witness.newest(sha256(origin().encode()).hexdigest())
    return None if data is None else parse_checkpoint(parse_note(data).text).size


def test_it_cosigns_a_log_that_grows_and_shows_what_it_cosigned_last(witness: Witness) -> None:
    assert size_of(witness) is None
    for old, size in ((0, 3), (3, 4), (4, 4), (4, 17), (17, 32)):
        answer = ask(witness, old, size, time_s=T0 + size)
        assert answer.status == 200
        cosigned_note = Note(note(TRUE, size).text, parse_lines(answer.body))
        assert cosigned(cosigned_note, witness.vkey) == T0 + size
        assert size_of(witness) == size
    data = (witness._folder / "logs").iterdir().__next__().read_bytes()
    demand_signed(parse_note(data), log_key().vkey)
    assert cosigned(parse_note(data), witness.vkey) == T0 + 32


def test_what_it_cosigned_is_on_disk_when_it_answers(witness: Witness, tmp_path: Path) -> None:
    """A copy of the folder at the moment of the answer knows it: whatever is restored from the disk does."""
    for old, size in ((0, 5), (5, 9)):
        assert ask(witness, old, size).status == 200
        shutil.copytree(tmp_path / "w", tmp_path / f"copy {size}")
        with closing(Witness(tmp_path / f"copy {size}", None, LOGS)) as again:
            assert (size_of(again), again.vkey) == (size, witness.vkey)
            assert ask(again, old, size).body == f"{size}\n"


def test_the_second_of_two_heads_is_refused(witness: Witness) -> None:
    assert ask(witness, 0, 10).status == 200
    same, larger = ask(witness, 10, 10, FALSE), ask(witness, 10, 20, FALSE)
    assert (same.status, larger.status, size_of(witness)) == (422, 422, 10)
    for wrong in ((), path(TRUE, 5, 20), (*path(TRUE, 10, 20), bytes(32))):
        assert witness.add(encode(10, wrong, note(TRUE, 20)), lambda: T0).status == 422
    assert ask(witness, 10, 20).status == 200


def test_of_two_heads_at_once_one_is_cosigned(witness: Witness) -> None:
    assert ask(witness, 0, 5).status == 200
    for size in range(6, 12):
        answers = at_once(*(partial(ask, witness, size - 1, size, leaves) for leaves in (TRUE, FALSE)))
        assert sorted(answer.status for answer in answers) in ([200, 409], [200, 422])
    heads = {leaves is TRUE for leaves in (TRUE, FALSE) if ask(witness, 11, 11, leaves).status == 200}
    assert len(heads) == 1


def test_a_stale_size_is_answered_with_the_one_that_it_has(witness: Witness) -> None:
    empty = ask(witness, 3, 5)
    assert (empty.status, empty.body, empty.media_type) == (409, "0\n", SIZE_TYPE)
    assert ask(witness, 0, 5).status == 200
    for old in (0, 3, 7):  # 7: somebody says that more was cosigned than it knows
        answer = ask(witness, old, 9)
        assert (answer.status, answer.body, answer.media_type) == (409, "5\n", SIZE_TYPE)
    assert ask(witness, 9, 5).status == 400
    assert size_of(witness) == 5


def test_the_log_of_no_entries(witness: Witness) -> None:
    def nothing(root: bytes) -> bytes:
        text = Checkpoint(origin(), 0, root).text
        return encode(0, (), Note(text, (signed_line(text, origin(), key(f"checkpoint {LEDGER}")),)))

    assert witness.add(nothing(bytes(32)), lambda: T0).status == 422
    assert witness.add(nothing(EMPTY_ROOT), lambda: T0).status == 200
    assert witness.add(encode(0, (bytes(32),), note(TRUE, 3)), lambda: T0).status == 422
    assert ask(witness, 0, 3).status == 200


def test_who_may_ask(witness: Witness) -> None:
    head = note(TRUE, 5)
    other = head_of(Tree(TRUE[:5]), "other", ())
    assert witness.add(encode(0, (), other), lambda: T0).status == 404
    stranger = Note(head.text, (signed_line(head.text, origin(), key("somebody")),))
    broken = Note(head.text, (Line(head.lines[0].name, head.lines[0].id, bytes(64)),))
    for unsigned in (stranger, broken, Note(head.text, (*head.lines, *broken.lines))):
        assert witness.add(encode(0, (), unsigned), lambda: T0).status == 403
    known = Note(head.text, (*stranger.lines, *head.lines, *head.lines))  # lines of others are ignored
    assert witness.add(encode(0, (), known), lambda: T0).status == 200


HASH = base64.b64encode(bytes(32)).decode()
MALFORMED = {
    "nothing": b"", "no empty line": b"old 0\n", "no old": b"\n\n", "a word": b"new 0\n\n", "zeros": b"old 00\n\n",
    "below zero": b"old -1\n\n", "two spaces": b"old  1\n\n", "Arabic digits": "old ١\n\n".encode(),
    "too large": f"old {2**63}\n\n".encode(), "a short hash": b"old 1\nAAAA\n\n", "no base64": b"old 1\n?\n\n",
    "64 hashes": f"old 1\n{(HASH + chr(10)) * (MAX_PATH + 1)}\n".encode(), "CRLF": b"old 0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("what", MALFORMED)
def test_a_request_that_is_none(witness: Witness, what: str) -> None:
    head = note(TRUE, 5).encode()
    assert witness.add(MALFORMED[what] + head, lambda: T0).status == 400
    assert witness.add(b"old 0\n\n" + head.replace(b"\n", b"\r\n"), lambda: T0).status == 400
    assert witness.add(b"old 0\n\n" + head, lambda: T0).status == 200


def test_a_disk_that_takes_nothing_has_nothing_cosigned(witness: Witness, tmp_path: Path) -> None:
    assert ask(witness, 0, 5).status == 200
    memory = tmp_path / "w" / "logs"
    memory.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        ask(witness, 5, 9)
    (tmp_path / "away").rename(memory)
    assert (ask(witness, 0, 9).body, ask(witness, 5, 9).status) == ("5\n", 200)


def _forget(folder: Path) -> None:
    shutil.rmtree(folder / "logs")


def _forget_one(folder: Path) -> None:
    for file in (folder / "logs").iterdir():
        file.unlink()


def _damage(folder: Path) -> None:
    for file in (folder / "logs").iterdir():
        file.write_bytes(file.read_bytes()[:-20])


def _of_another(folder: Path) -> None:
    other = note(TRUE, 5)
    for file in (folder / "logs").iterdir():
        file.write_bytes(other.encode())


FOLDERS: dict[str, Callable[[Path], object]] = {
    "its memory is gone": _forget, "its memory of the log is gone": _forget_one,
    "its memory is damaged": _damage, "its memory was not cosigned": _of_another,
    "its key is gone": lambda folder: (folder / "witness.pem").unlink(),
    "its name is gone": lambda folder: (folder / "witness.vkey").write_text("x\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", FOLDERS)
def test_a_folder_that_does_not_know_what_it_cosigned_is_not_served(tmp_path: Path, what: str) -> None:
    with closing(Witness(tmp_path / "w", NAME, LOGS)) as made:
        assert ask(made, 0, 5).status == 200
    FOLDERS[what](tmp_path / "w")
    with pytest.raises(LedgerClientError) as caught:
        Witness(tmp_path / "w", None, LOGS)
    assert caught.value.way_out


def test_a_log_whose_head_was_kept_and_not_marked_is_marked_by_the_next(tmp_path: Path) -> None:
    with closing(Witness(tmp_path / "w", NAME, LOGS)) as made:
        assert ask(made, 0, 5).status == 200
    (mark,) = (tmp_path / "w" / "cosigned").iterdir()
    mark.unlink()  # as where a power cut came between the two
    with closing(Witness(tmp_path / "w", None, LOGS)) as again:
        assert ask(again, 5, 9).status == 200
    _forget_one(tmp_path / "w")
    with pytest.raises(LedgerClientError):
        Witness(tmp_path / "w", None, LOGS)


def test_a_folder_is_one_witness_and_served_once(tmp_path: Path, witness: Witness) -> None:
    with pytest.raises(LedgerClientError):
        Witness(tmp_path / "w", None, LOGS)
    witness.close()
    with pytest.raises(LedgerClientError):
        Witness(tmp_path / "w", "another", LOGS)
    as_log = Vkey(origin(), 1, witness.vkey.public)
    with pytest.raises(LedgerClientError):
        Witness(tmp_path / "w", None, {origin(): as_log})
    with closing(Witness(tmp_path / "w", None, LOGS)) as again:
        assert again.vkey == witness.vkey


@pytest.mark.parametrize(
    "options",
    [
        (), (origin(),), (f"{origin()}=x",), (f"other={log_key().vkey.text}",),
        (f"{origin()}={log_key().vkey.text}", f"{origin()}={log_key().vkey.text}"),
        (f"{origin()}={Vkey(origin(), 4, log_key().vkey.public).text}",),
        (f"{origin()}={log_key().vkey.text}", f"{origin()}={Vkey(origin(), 1, key('second').public).text}"),
    ],
)  # fmt: skip
def test_logs_that_cannot_be_followed(options: tuple[str, ...]) -> None:
    with pytest.raises(LedgerClientError) as caught:
        logs_of(options)
    assert caught.value.way_out
    assert logs_of((f"{origin()}={log_key().vkey.text}",)) == LOGS
