"""Passwords: their hashes, the file of users, and how often they may be guessed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import stat
from pathlib import Path

import pytest

from gateway.dashboard.shell.login_limits import ALL_PER_S, FREE, LONGEST_PAUSE_S, Logins, TooOften
from gateway.dashboard.shell.users import NOBODY, User, Users, check_new, hashed, matches, read_users, write_users
from gateway.errors import ConfigError
from tests.gateway.dashboard.shell.test_sessions import Time

RIGHT = "correct horse"


@pytest.fixture(scope="module")
def vera() -> User:
    return User("vera", "viewer", hashed(RIGHT))


@pytest.fixture
def users(tmp_path: Path, vera: User) -> Users:
    write_users(tmp_path / "web.users", {"vera": vera})
    return Users(tmp_path / "web.users")


def test_a_hash_is_scrypt_with_a_salt_of_its_own(vera: User) -> None:
    _, salt, digest = vera.hash.split("$")
    given = hashlib.scrypt(RIGHT.encode(), salt=base64.b64decode(salt), n=16384, r=8, p=5, maxmem=2**26, dklen=32)
    assert base64.b64decode(digest) == given


def test_one_password_matches_and_no_other(vera: User) -> None:
    assert matches(RIGHT, vera.hash)
    assert not matches(RIGHT + " ", vera.hash)
    assert not matches("", NOBODY)


def test_what_is_typed_in_another_form_of_unicode_is_the_same_password() -> None:
    assert matches("Zu\u0308rich 密码", hashed("Z\u00fcrich 密码"))


def test_the_file_is_the_owners_alone_and_comes_back_as_written(tmp_path: Path, vera: User) -> None:
    path = tmp_path / "web.users"
    assert read_users(path) == {}
    write_users(path, {"vera": vera})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_users(path) == {"vera": vera}
    assert RIGHT not in path.read_text()
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="other users can read it"):
        read_users(path)


@pytest.mark.parametrize(
    "text",
    [
        "[[user]]", "user = 3", "x = 1", "\xff", '[[user]]\nname = "a"\nrole = "root"\nhash = "x"',
        '[[user]]\nname = "a b"\nrole = "viewer"\nhash = "x"', '[[user]]\nname = "a"\nrole = "viewer"\nhash = "plain"',
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named_and_lets_nobody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "web.users"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"web\.users"):
        Users(path).current()


def test_changes_are_seen_at_once(users: Users, tmp_path: Path, vera: User) -> None:
    assert users.current() == {"vera": vera}
    write_users(tmp_path / "web.users", {})
    assert users.current() == {}
    (tmp_path / "web.users").unlink()
    assert users.current() == {}


@pytest.mark.parametrize("bad", ["", "short", "a" * 257, "tab\tin it..", "PASSWORD", "ines-ines"])
def test_what_everybody_would_try_is_no_password(bad: str) -> None:
    assert check_new("ines-ines", bad)
    assert check_new("ines-ines", "秘密的长密码一二三") is None


def test_pauses_grow_and_a_success_ends_them(users: Users) -> None:
    async def test() -> None:
        time = Time()
        logins = Logins(users, time)
        for _ in range(FREE):
            assert await logins.attempt("10.0.0.1", "vera", "") is None
        pauses = []
        for _ in range(12):
            with pytest.raises(TooOften) as refused:
                await logins.attempt("10.0.0.1", "vera", RIGHT)
            pauses.append(refused.value.wait_s)
            time.now += refused.value.wait_s
            assert await logins.attempt("10.0.0.1", "nobody", "x" * 300) is None
        assert pauses[:4] == [2, 4, 8, 16]
        assert pauses[-1] == LONGEST_PAUSE_S
        time.now += LONGEST_PAUSE_S
        assert (await logins.attempt("10.0.0.1", "vera", RIGHT) or NOBODY) == users.current()["vera"]
        assert await logins.attempt("10.0.0.1", "vera", "") is None, "it begins anew"

    asyncio.run(test())


def test_who_has_a_password_guesses_no_other_sooner(users: Users) -> None:
    async def test() -> None:
        time = Time()
        logins = Logins(users, time)
        for _ in range(FREE):
            assert await logins.attempt("10.0.0.1", "ines", "x" * 300) is None
            time.now += 1
        time.now += 1
        assert await logins.attempt("10.0.0.1", "vera", RIGHT)
        assert await logins.attempt("10.0.0.1", "ines", "x" * 300) is None
        with pytest.raises(TooOften):
            await logins.attempt("10.0.0.1", "ines", "x" * 300)

    asyncio.run(test())


def test_many_addresses_share_one_rate_and_who_was_in_before_is_not_held_up(users: Users) -> None:
    async def test() -> None:
        time = Time()
        logins = Logins(users, time)
        assert await logins.attempt("10.0.0.1", "vera", RIGHT)
        outcomes: list[object] = []
        for number in range(6):
            stranger = logins.attempt(f"10.1.0.{number}", "vera", "x" * 300)
            outcomes += await asyncio.gather(stranger, return_exceptions=True)
        assert outcomes[0] is None
        assert isinstance(outcomes[-1], TooOften)
        assert await logins.attempt("10.0.0.1", "vera", RIGHT)
        time.now += 1 / ALL_PER_S
        assert await logins.attempt("10.1.0.200", "vera", "x" * 300) is None

    asyncio.run(test())


def test_one_is_checked_at_a_time_and_few_may_wait(users: Users) -> None:
    async def test() -> None:
        logins = Logins(users, Time())
        assert await logins.attempt("10.0.0.1", "vera", RIGHT)
        tries = [asyncio.create_task(logins.attempt(f"10.0.0.{n}", "vera", "wrong")) for n in (1, 2, 3, 4, 5, 6)]
        answers = await asyncio.gather(*tries, return_exceptions=True)
        assert answers[:4] == [None] * 4
        assert all(isinstance(answer, TooOften) for answer in answers[4:])

    asyncio.run(test())
