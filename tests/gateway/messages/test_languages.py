"""Messages in the language of a page: nested ones, fixes, texts of before, and the codes of what the system says."""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
from pathlib import Path

import pytest

from gateway.errors import ConfigError, GatewayError
from gateway.fieldbus.wire.errors import PortError
from gateway.messages.alarm_kinds import KINDS
from gateway.messages.languages import Stored, fix_in_language, in_language, sentence_in
from gateway.messages.message import Message
from gateway.messages.system_errors import SYSTEM_CODES, os_error, sqlite_error
from ledger_client import messages
from ledger_client.messages import Catalogue

FULL = Message("database-error", path="/data/x.db", error=Message("errno-enospc"))


def test_a_message_in_a_message_is_said_in_the_same_language() -> None:
    assert str(FULL) == (
        "/data/x.db: No space left on device; fix: free disk space, and check the disk and the permissions of the "
        "folder"
    )
    assert in_language(FULL, "en") == "/data/x.db: No space left on device"
    assert in_language(FULL, "zh") == "/data/x.db：磁盘空间已满"
    assert fix_in_language(FULL, "zh") == "请释放磁盘空间，并检查磁盘和目录权限"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_finished_text_stays_as_it_is(language: str) -> None:
    assert in_language("bus-1: the line answers again", language) == "bus-1: the line answers again"
    assert fix_in_language("bus-1: the line answers again", language) == ""


def test_a_name_in_a_message_is_shown_as_it_is() -> None:
    assert in_language(Message("database-error", path="/x", error="serial"), "zh") == "/x：serial"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_alarm_has_a_title_and_advice(kind: str) -> None:
    message = KINDS[kind].message
    assert KINDS[kind].title == in_language(message, "en") != in_language(message, "zh")
    assert KINDS[kind].advice == fix_in_language(message, "en") != fix_in_language(message, "zh")


def test_what_was_stored_is_shown_in_english_as_it_was_and_in_chinese_by_its_message() -> None:
    assert in_language(Stored("as it was worded then", FULL), "en") == "as it was worded then"
    assert in_language(Stored("as it was", FULL), "zh") == (
        "/data/x.db：磁盘空间已满；处理：请释放磁盘空间，并检查磁盘和目录权限"
    )
    old = "bus-1: the line answers again"
    assert in_language(Stored(old), "zh") == in_language(Stored(old, Message("never-made")), "zh")
    assert in_language(Stored(old), "zh") == old


def test_a_stored_message_is_taken_where_this_version_can_say_it() -> None:
    assert sentence_in(FULL.to_fields(), "text") == FULL
    assert sentence_in({"event": "alarm"}, "text") == "text"


@pytest.mark.parametrize(
    "message",
    [
        Message("never-made"),
        Message("database-error", path="/x", error=Message("never-made")),
        Message("database-error", path="/x"),
        Message("database-error", path="/x", error=("a", "b")),
    ],
    ids=repr,
)
def test_of_a_newer_version_s_message_the_english_text_is_shown_as_a_whole(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Catalogue, "strict", False)
    assert sentence_in(message.to_fields(), "as it was signed") == "as it was signed"


def test_errors_take_a_message_or_a_text() -> None:
    error = GatewayError(FULL)
    assert (error.message, error.problem) == (FULL, "/data/x.db: No space left on device")
    assert str(error) == f"{error.problem}\n  fix: {error.way_out}"
    text = GatewayError("there is no such page", "open another")
    assert (text.message, text.problem, text.way_out) == (None, "there is no such page", "open another")
    assert str(GatewayError("no way out")) == "no way out"


def test_an_error_of_a_key_says_where_and_keeps_what() -> None:
    what = Message("config-not-toml", error="x")
    error = ConfigError(Path("gateway.toml"), "meter", what)
    assert error.message == Message("config-at", file="gateway.toml", key="meter", what=what)
    assert (error.problem, error.way_out) == (f"gateway.toml: meter: {what.problem}", what.way_out)
    assert ConfigError("gateway.toml", "", what).problem == f"gateway.toml: {what.problem}"
    assert str(ConfigError("a", "b", "c", "d")) == "a: b: c\n  fix: d"


def test_an_error_of_a_port_says_where_and_keeps_what() -> None:
    error = PortError("/dev/ttyS1", Message("port-missing-none"))
    assert (error.problem, error.what.problem) == ("/dev/ttyS1: there is no such port", "there is no such port")
    assert in_language(error.message or "", "zh") == "/dev/ttyS1：没有此端口"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOSPC, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EADDRINUSE])
def test_what_the_system_says_has_a_code(number: int) -> None:
    message = os_error(OSError(number, os.strerror(number), "/x"))
    assert isinstance(message, messages.Message)
    assert message.code in SYSTEM_CODES
    assert str(message) == os.strerror(number)


def test_what_has_none_stays_as_it_is() -> None:
    assert os_error(OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))) == "Directory not empty"
    assert os_error(OSError("odd")) == "odd"
    assert os_error(TimeoutError("timed out")) == Message("errno-timed-out")
    assert os_error(socket.gaierror(socket.EAI_AGAIN, "x")) == Message("resolver-temporary")


def test_what_sqlite_says_has_a_code(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database " * 100)
    with sqlite3.connect(tmp_path / "x.db") as link, pytest.raises(sqlite3.DatabaseError) as caught:
        link.execute("select * from x")
    assert sqlite_error(caught.value) == Message("sqlite-notadb")
    assert sqlite_error(ValueError("no such table: x")) == "no such table: x"
