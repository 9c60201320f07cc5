"""Messages that are answered once they are durable: each recorded once, none answered that is not, whatever dies."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config.model import Config
from gateway.recording import heard as heard_module
from gateway.records import MissedPoll, News, NotRecorded, SignedRecord
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.senml import Reading
from tests.gateway.recording.hearing import METER, as_series, heard, token
from tests.support.books import check_books
from tests.support.samples import Machine, recorder, site
from tests.system.demo_site import until


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


def recorded(loaded: Config) -> list[object]:
    """What the readings of the meter hold, in order."""
    store = Database(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.meter == METER]
    store.close()
    return [body.values[0].value for body in bodies if isinstance(body, Reading)]


def changes(loaded: Config) -> list[dict[str, object]]:
    store = Database(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.events_of(METER)]
    store.close()
    return [dict(body.fields) for body in reversed(bodies) if isinstance(body, Event) and body.name == "data-changed"]


def test_a_message_does_not_wait_for_commit_every_and_its_news_bear_the_token(loaded: Config) -> None:
    clock, news = Clock(), list[News]()
    made, anchor_ms = recorder(loaded, clock, configured=as_series(loaded), commit_every_ms=1 << 40)
    made.on_news.append(news.extend)
    made.start()
    made.put(heard(anchor_ms, clock, "first", "1"))  # the first of an epoch does not wait anyway
    until("the first to be told", lambda: len(news) == 1)
    assert made.standing(METER, token("a", "2")) == "new"
    made.put(heard(anchor_ms + 10_000, clock, "a", "2"))
    assert made.standing(METER, token("a", "2")) == "waiting"
    until("the second to be told", lambda: len(news) == 2)
    assert [item.token for item in news] == [token("first", "1"), token("a", "2")]
    assert recorded(loaded) == [1, 2]
    until("the token to be the database's", lambda: made.standing(METER, token("a", "2")) == "recorded")
    made.stop()
    check_books(loaded)


def test_a_record_whose_sender_waits_is_due_before_others(loaded: Config) -> None:
    machine = Machine()
    made, anchor_ms = recorder(loaded, machine.clock(), configured=as_series(loaded), commit_every_ms=60_000)
    journal, clock = made._journal, machine.clock()
    for number in range(2):  # the first is committed at once
        journal.poll(heard(anchor_ms + number, clock, f"{number}", "1"))
    since_ms = journal._clock.schedule_ms()
    assert journal.next_ms() - since_ms <= 100
    machine.passes(0.2)
    journal.keep_time()
    assert recorded(loaded) == [1, 1]
    made.stop()


def test_what_is_recorded_is_known_over_a_restart_and_only_by_its_whole_token(loaded: Config) -> None:
    clock = Clock()
    made, anchor_ms = recorder(loaded, clock, configured=as_series(loaded), epoch=b"\x01" * 8)
    made.start()
    made.put(heard(anchor_ms, clock, "a", "1"))
    made.stop()
    again, _ = recorder(loaded, clock, configured=as_series(loaded), epoch=b"\x02" * 8)
    assert again.standing(METER, token("a", "1")) == "recorded"
    others = [token("a", "2"), token("a", "1", part=2), token("b", "1")]
    assert [again.standing(METER, other) for other in others] == ["new"] * 3
    assert again.standing("stack-co2", token("a", "1")) == "new"
    again.stop()


def test_a_message_that_is_not_recorded_is_told_so_and_is_new_when_it_comes_again(loaded: Config) -> None:
    clock, news = Clock(), list[News]()
    made, anchor_ms = recorder(loaded, clock, configured=as_series(loaded), commit_every_ms=1)
    made.on_news.append(news.extend)
    made._store._db.execute("PRAGMA busy_timeout = 0")
    blocker = sqlite3.connect(loaded.database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    made.start()

    def told_more(than: int) -> bool:
        return len(news) > than

    for number, label in enumerate("ab"):  # the one is lost with its commit, the other comes while nothing is recorded
        made.put(heard(anchor_ms + 10_000 * number, clock, label, "1"))
        until("it to be told", partial(told_more, number))
    assert [(type(item), item.token) for item in news if not isinstance(item, SignedRecord)] == [
        (NotRecorded, token("a", "1")),
        (NotRecorded, token("b", "1")),
    ]
    assert [made.standing(METER, token(label, "1")) for label in "ab"] == ["new"] * 2
    blocker.execute("ROLLBACK")
    blocker.close()
    until("recording to go on", lambda: made.trouble is None)
    made.put(heard(anchor_ms + 20_000, clock, "a", "1"))
    made.stop()
    assert recorded(loaded) == [1]
    check_books(loaded)


def test_behind_a_slow_disk_a_message_is_not_recorded_and_told_so(loaded: Config) -> None:
    clock, news = Clock(), list[News]()
    made, anchor_ms = recorder(loaded, clock, configured=as_series(loaded))
    made.on_news.append(news.extend)
    made.room = 0
    made.put(heard(anchor_ms, clock, "a", "1"))
    made.start()
    until("it to be told", lambda: bool(news))
    assert [(type(item), item.token) for item in news if isinstance(item, MissedPoll)] == [
        (MissedPoll, token("a", "1"))
    ]
    assert made.standing(METER, token("a", "1")) == "new"
    made.stop()


def test_changed_content_is_recorded_and_told_once_an_hour(loaded: Config) -> None:
    machine = Machine()
    clock = machine.clock()
    made, anchor_ms = recorder(loaded, clock, configured=as_series(loaded), commit_every_ms=60_000)
    journal = made._journal

    def hear(*contents: str) -> None:
        for content in contents:
            journal.poll(heard(anchor_ms, clock, "a", content))

    hear("1", "2", "3")  # what is pending counts
    journal.flush()
    assert changes(loaded) == [{"label": "a", "part": 1}]
    machine.passes(heard_module.CHANGED_EVERY_MS / 1000 + 1)
    hear("4")  # what the database holds does, too
    journal.poll(heard(anchor_ms, clock, "a", "4", part=2))
    journal.flush()
    assert changes(loaded) == [{"label": "a", "part": 1}] * 2
    assert recorded(loaded) == [1, 2, 3, 4, 4]
    made.stop()


@pytest.mark.parametrize("number", [1, 2])
def test_kills_between_hearing_and_answer_leave_what_was_answered_exactly_once(
    loaded: Config, tmp_path: Path, number: int
) -> None:
    """The sender sends again what was not answered, as loggers do, and some of what was."""
    chance, answered, sent = random.Random(number), Counter[str](), list[str]()
    stations = ["sign", "commit", "committed", "cut", ""]
    for station in chance.sample(stations, len(stations)):
        flag = tmp_path / f"held-{station}"
        env = dict(os.environ)
        if station:  # "cut" is never reached: it dies as it stands
            env["METERSEAL_HOLD"] = f"{station}:{chance.randint(3, 6)}:{flag}"
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.recording.hearing", str(loaded.path.parent), "20"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        new = [f"{len(sent) + k} 1 {len(sent) + k}" for k in range(12)]
        sent += new
        again = [line for line in sent[:-12] if line not in answered] + chance.sample(sent, min(3, len(sent)))
        for line in [*again, *new]:
            child.stdin.write(f"{line}\n")
            child.stdin.flush()
            time.sleep(chance.uniform(0, 0.03))
            if flag.exists():
                break
        child.kill()
        child.stdin.close()
        answered.update(child.stdout.read().split("\n")[:-1])
        child.wait()
        _demand_once(loaded, answered)
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.recording.hearing", str(loaded.path.parent), "20"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, _ = child.communicate("".join(f"{line}\n" for line in sent))
    answered.update(out.split("\n")[1:-1])
    assert set(answered) == set(sent)
    _demand_once(loaded, answered)
    check_books(loaded)


def _demand_once(loaded: Config, answered: Sequence[str] | Counter[str]) -> None:
    there = Counter(recorded(loaded))
    assert [line for line in answered if there[int(line.split()[2])] != 1] == []
    assert [value for value, count in there.items() if count > 1] == []
