"""Viewers' sessions on disk: who goes on after a restart and who does not, and files that somebody damaged or read."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.dashboard.shell.kept_sessions import ASIDE, FILE, SessionFile, parse, serialized
from gateway.dashboard.shell.sessions import ABSOLUTE_S, IDLE_S, MOST, Kept, Sessions
from gateway.dashboard.shell.users import User

VERA, INES = User("vera", "viewer", "scrypt$of-vera"), User("ines", "installer", "scrypt$of-ines")
USERS = {"vera": VERA, "ines": INES}
BOOTED = 1_000_000


class Machine:
    """A machine with a wall clock and a monotonic one, and processes on it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.wall_s, self.up_s = folder, 1_800_000_000.0, BOOTED * 1.0

    def sleep(self, seconds: float) -> None:
        self.wall_s += seconds
        self.up_s += seconds

    async def start(self, users: Mapping[str, User] = USERS) -> SessionFile:
        file = SessionFile(self.folder / FILE, Sessions(lambda: self.up_s), lambda: int(self.wall_s * 1000))
        await file.load(users)
        return file

    def goes_on(self, cookie: str, users: Mapping[str, User] = USERS) -> bool:
        """Whether the session of a cookie is one after a start with these users."""
        return asyncio.run(self.start(users)).sessions.find(cookie) is not None


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def begun(machine: Machine, user: User = VERA) -> str:
    """The cookie of a session that is on disk, with the process that began it killed."""

    async def life() -> str:
        file = await machine.start()
        cookie = file.sessions.begin(user)
        await file.save()
        return cookie

    return asyncio.run(life())


def test_a_viewer_goes_on_and_an_installer_does_not(machine: Machine) -> None:
    viewer, installer = begun(machine), begun(machine, INES)
    assert [machine.goes_on(cookie) for cookie in (viewer, installer, "", "A" * 43)] == [True, False, False, False]


@pytest.mark.parametrize(
    "users",
    [
        {"vera": replace(VERA, hash="scrypt$another")},
        {"vera": replace(VERA, role="installer")},
        {"eve": replace(VERA, name="eve")},
        {},
    ],
    ids=["password", "role", "name", "removed"],
)
def test_a_user_who_is_other_now_is_out_for_good(machine: Machine, users: dict[str, User]) -> None:
    cookie = begun(machine)
    assert not machine.goes_on(cookie, users)

    async def saved() -> None:
        await (await machine.start(users)).save()

    asyncio.run(saved())
    assert not machine.goes_on(cookie), "the old password back again brings no session back"


def test_times_go_on_while_nothing_runs_and_after_a_reboot(machine: Machine) -> None:
    cookie = begun(machine)
    begun_s = machine.wall_s
    machine.sleep(IDLE_S["viewer"] - 1)
    assert machine.goes_on(cookie)
    machine.up_s = 5.0
    assert machine.goes_on(cookie), "the monotonic clock began anew"
    machine.sleep(2)
    assert not machine.goes_on(cookie), "nobody used it for a day"
    cookie = begun(machine)
    while machine.wall_s - begun_s < ABSOLUTE_S["viewer"] + 100_000:
        machine.sleep(IDLE_S["viewer"] / 2)

        async def used() -> bool:
            file = await machine.start()
            found = file.sessions.find(cookie) is not None
            await file.save()
            return found

        if not asyncio.run(used()):
            break
    assert machine.wall_s - begun_s == pytest.approx(ABSOLUTE_S["viewer"] + IDLE_S["viewer"], abs=IDLE_S["viewer"])


def test_a_clock_that_goes_back_makes_no_session_younger(machine: Machine) -> None:
    cookie = begun(machine)

    async def used_for(seconds: float) -> bool:
        file = await machine.start()
        found = file.sessions.find(cookie)
        machine.sleep(seconds)
        goes_on = found is not None and file.sessions.watches(found)
        await file.save()
        return goes_on

    used_s, span_s = 0.0, 0.9 * IDLE_S["viewer"]
    while asyncio.run(used_for(span_s)):
        used_s += span_s
        machine.wall_s -= 2 * span_s  # each restart, two days back
        assert used_s < ABSOLUTE_S["viewer"] + span_s
    assert used_s > ABSOLUTE_S["viewer"] - 2 * span_s


def test_a_logout_is_on_disk_and_a_full_disk_brings_nobody_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cookies = [begun(machine), begun(machine)]

    async def logout(cookie: str) -> None:
        file = await machine.start()
        session = file.sessions.find(cookie)
        assert session is not None
        file.sessions.end(session)
        await file.save()

    asyncio.run(logout(cookies[0]))
    assert [machine.goes_on(cookie) for cookie in cookies] == [False, True]
    (machine.folder / f".{FILE}.{os.getpid()}.new").mkdir()  # nothing new can be written
    with caplog.at_level(logging.WARNING, "meterseal.pages"):
        asyncio.run(logout(cookies[1]))
    assert not machine.goes_on(cookies[1])
    assert any("not written" in line for line in caplog.messages)


def test_whoever_reads_the_file_has_no_cookie_and_others_cannot(machine: Machine) -> None:
    cookie = begun(machine)
    path = machine.folder / FILE
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(secret in text for secret in (cookie, VERA.name, VERA.hash))
    for found in re.findall("[0-9a-f]{64}", text):
        assert not machine.goes_on(found)
        assert not machine.goes_on(bytes.fromhex(found).decode("latin-1"))
    path.chmod(0o640)
    assert not machine.goes_on(cookie)
    assert (machine.folder / ASIDE).exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"18000", b"19000"),
        lambda data: data + data.split(b"\n", 1)[1],
        lambda data: b"\xff" * 2000,
        lambda data: data * 100_000,
        lambda data: serialized([Kept(n.to_bytes(32, "big"), b"", 1, 2) for n in range(MOST + 1)]),
        lambda data: serialized([*parse(data), *parse(data)]),
    ],
    ids=["empty", "no end", "half", "later", "doubled", "noise", "large", "too many", "one cookie twice"],
)
def test_a_damaged_file_is_set_aside_and_nobody_is_logged_in(
    machine: Machine, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = begun(machine)
    path = machine.folder / FILE
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.ERROR, "meterseal.pages"):
        assert not machine.goes_on(cookie)
    assert len(caplog.messages) == 1
    assert not path.exists()
    assert (machine.folder / ASIDE).exists()
    other = begun(machine)
    assert machine.goes_on(other), "the next login makes a new one"


def test_a_site_without_viewers_has_no_file_and_one_with_many_a_small_one(machine: Machine) -> None:
    begun(machine, INES)
    assert list(machine.folder.iterdir()) == []
    users = {f"user-{n}": User(f"user-{n}", "viewer", f"scrypt${n}") for n in range(30)}

    async def life() -> list[str]:
        file = await machine.start(users)
        cookies = [file.sessions.begin(user) for _ in range(25) for user in users.values()]
        await file.save()
        return cookies

    cookies = asyncio.run(life())
    assert (machine.folder / FILE).stat().st_size < 200 * MOST
    file = asyncio.run(machine.start(users))
    assert len(file.sessions) == MOST
    assert [file.sessions.find(cookie) is not None for cookie in (cookies[0], cookies[-1])] == [False, True]


def test_a_form_of_before_the_restart_is_still_good_once(machine: Machine) -> None:
    cookie = begun(machine)

    async def found() -> tuple[Sessions, str]:
        sessions = (await machine.start()).sessions
        session = sessions.find(cookie)
        assert session is not None
        return sessions, sessions.form(session)

    _, token = asyncio.run(found())
    sessions, _ = asyncio.run(found())
    session = sessions.find(cookie)
    assert session is not None
    assert [sessions.redeem(session, token) for _ in range(2)] == [True, False]
    machine.up_s = 5.0
    sessions, _ = asyncio.run(found())
    session = sessions.find(cookie)
    assert session is not None
    assert not sessions.redeem(session, token), "it is of a time that has not come yet"
