"""Sessions and the tokens of their forms: how long they last, how many there are, what they are good for. A clock that
the test moves."""

from __future__ import annotations

import pytest

from gateway.dashboard.shell.sessions import (
    ABSOLUTE_S,
    FORM_S,
    IDLE_S,
    MOST,
    MOST_FORMS,
    MOST_OF_ONE,
    Sessions,
    Visitors,
)
from gateway.dashboard.shell.users import Role, User


class Time:
    """Seconds that pass when a test advances them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def user(name: str = "vera", role: Role = "viewer") -> User:
    return User(name, role, "scrypt$")


@pytest.mark.parametrize("role", ["viewer", "installer"])
def test_a_session_ends_unused_and_in_the_end(role: Role) -> None:
    time = Time()
    sessions = Sessions(time)
    unused, used = sessions.begin(user(role=role)), sessions.begin(user(role=role))
    begun = time.now
    while time.now - begun + IDLE_S[role] < ABSOLUTE_S[role]:
        time.now += IDLE_S[role]
        assert sessions.find(used)
    assert sessions.find(unused) is None
    time.now = begun + ABSOLUTE_S[role] + 1
    assert sessions.find(used) is None
    assert len(sessions) == 0


def test_an_open_page_keeps_a_viewer_in_but_no_installer() -> None:
    time = Time()
    sessions = Sessions(time)
    viewer, installer = (sessions.find(sessions.begin(user(n, r))) for n, r in (("v", "viewer"), ("i", "installer")))  # type: ignore[arg-type]
    assert viewer
    assert installer
    for _ in range(30):
        time.now += 3600
        assert sessions.watches(viewer)
    assert not sessions.watches(installer)


def test_what_an_open_page_asks_by_itself_is_no_use_of_a_session() -> None:
    time = Time()
    sessions = Sessions(time)
    cookie = sessions.begin(user("i", "installer"))
    for part in (0.4, 0.8):
        time.now = 1000 + part * IDLE_S["installer"]
        assert sessions.find(cookie, watching=True)
    time.now = 1001 + IDLE_S["installer"]
    assert sessions.find(cookie, watching=True) is None


def test_only_the_right_cookie_is_one_and_none_is_kept() -> None:
    sessions = Sessions(Time())
    cookie = sessions.begin(user())
    assert len(cookie) == 43
    assert sessions.find(cookie)
    for other in (None, "", cookie[:-1], cookie + "A", cookie.swapcase(), "x" * 10_000):
        assert sessions.find(other) is None
    assert cookie not in repr(vars(sessions))


def test_there_are_only_so_many_and_the_least_used_make_room() -> None:
    sessions = Sessions(Time())
    mine = [sessions.begin(user()) for _ in range(MOST_OF_ONE)]
    assert sessions.find(mine[0])
    mine.append(sessions.begin(user()))
    assert [sessions.find(cookie) is not None for cookie in mine[:3]] == [True, False, True]
    for number in range(2 * MOST):
        sessions.begin(user(f"user-{number}"))
    assert len(sessions) == MOST


def test_a_form_is_good_once_for_its_session_and_for_an_hour() -> None:
    time = Time()
    sessions = Sessions(time)
    mine, other = (sessions.find(sessions.begin(user(name))) for name in ("a", "b"))
    assert mine
    assert other
    token, late = sessions.form(mine), sessions.form(mine)
    assert not sessions.redeem(other, token)
    assert sessions.redeem(mine, token)
    assert not sessions.redeem(mine, token)
    assert [sessions.redeem(mine, bad) for bad in ("", "é", token[:-1], token + "AA", token.swapcase())] == [False] * 5
    time.now += FORM_S + 2
    assert not sessions.redeem(mine, late)
    assert not sessions.redeem(mine, token), "it is not remembered any more, and is too old"


def test_a_session_sends_only_so_many_forms() -> None:
    time = Time()
    sessions = Sessions(time)
    mine = sessions.find(sessions.begin(user()))
    assert mine
    assert all(sessions.redeem(mine, sessions.form(mine)) for _ in range(MOST_FORMS))
    assert not sessions.redeem(mine, sessions.form(mine))
    time.now += FORM_S + 1
    assert sessions.redeem(mine, sessions.form(mine))
    assert len(mine.sent) == 1


def test_a_visitors_form_belongs_to_his_cookie() -> None:
    visitors = Visitors()
    mine, other = visitors.cookie(), visitors.cookie()
    assert visitors.redeem(mine, visitors.form(mine))
    assert not visitors.redeem(other, visitors.form(mine))
    assert not visitors.redeem(None, visitors.form(""))
    assert not Visitors().redeem(mine, visitors.form(mine))
