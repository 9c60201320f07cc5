"""Lists by portions: whole and byte for byte as the command writes them; who does not read costs nobody else; what
ends early says so.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import pytest

from gateway.api.exports import export
from gateway.api.shapes.portions import ALONE_BYTES, PORTION_BYTES, Listing, Portions
from gateway.api.shapes.reading_lists import PORTION
from gateway.config.model import Config
from gateway.dashboard.asgi_server import Serving, listed
from gateway.dashboard.auth.exposure import users_file
from gateway.dashboard.db_readers import db_readers
from gateway.dashboard.shell.app import App
from gateway.dashboard.shell.kept_sessions import FILE, SessionFile
from gateway.dashboard.shell.page import Pages
from gateway.dashboard.shell.sessions import Asked, Sessions
from gateway.dashboard.shell.time.asked_range import BadQuery
from gateway.dashboard.shell.users import Users
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from gateway.records import PollResult, Timestamp
from gateway.storage.capacity.pruning import prune
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.senml import Reading, Value
from ledger_client.http_server.listening import listen_at
from ledger_client.times import rfc3339
from tests.gateway.dashboard.pages_site import pages_of
from tests.gateway.dashboard.test_slow_client import Busy, Guest, login, problem, until
from tests.support.commands import gateway_command
from tests.support.samples import START_S, Hands, rewritten, settle, site

T = TypeVar("T")
METERS, POLLS = ("meter-000", "meter-001"), 400


def site_of(folder: Path, polls: int = POLLS) -> tuple[Config, Hands]:
    loaded = rewritten(
        pages_of(folder, (502, 503), 'listen = "127.0.0.1:0"\n'), *[('every = "1s"', 'every = "10s"')] * 2
    )
    hands = Hands(loaded)
    hands.store.run("PRAGMA synchronous = OFF")
    hands.poll(polls)
    return loaded, hands


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    made, hands = site_of(tmp_path_factory.mktemp("portions") / "site")
    hands.end()
    return made


@asynccontextmanager
async def serving(
    loaded: Config, views: Mapping[str, Callable[[Asked], Listing[Database]]], most: int = 16, send_s: float = 30.0
) -> AsyncIterator[tuple[Guest, Portions[Database]]]:
    """The pages' server with these lists, and a guest who is logged in."""
    web = loaded.document.web
    assert web is not None
    with closing(db_readers(loaded.database)) as readers, closing(db_readers(loaded.database, 1, "lists")) as lister:
        listener, portions = listen_at(web.listen), Portions(lister, most, send_s)
        pages = Pages({}, Busy(), login, problem, lambda name: None)
        kept = SessionFile(loaded.path.parent / FILE, Sessions(), lambda: 0)
        app = App(pages, readers, Users(users_file(loaded)), ("127.0.0.1",), kept)
        app.answers({path: partial(listed, portions, view) for path, view in views.items()})
        task = asyncio.create_task(Serving(loaded, web).serve(app, listener))
        try:
            guest = Guest(listener.getsockname()[1])
            await guest.login("vera")
            yield guest, portions
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def body_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and whole body of an answer in chunks."""
    head, body = await reader.readuntil(b"\r\n\r\n"), b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return head, body


class Numbers:
    """A list of so many portions, which notes each that is made."""

    media_type = "text/plain"

    def __init__(self, name: str, made: list[str], portions: int, size: int, go: threading.Event) -> None:
        self.name, self.made, self.left, self.size, self.go = name, made, portions, size, go
        self.headers: Mapping[str, str] = {}
        self.lengths = list[int]()

    def begin(self, store: Database) -> None:
        self.go.wait(30)

    def portion(self, store: Database, most_bytes: int) -> bytes:
        self.made.append(self.name)
        self.lengths.append(most_bytes)
        self.left -= 1
        return b"x" * self.size

    @property
    def over(self) -> bool:
        return self.left == 0

    def cut_short(self, error: GatewayError) -> bytes:
        return b"ended"


@pytest.mark.parametrize(
    ("form", "options"), [("csv", ["--format", "csv"]), ("wide", ["--wide"]), ("jsonl", ["--format", "jsonl"])]
)
def test_an_export_is_byte_for_byte_what_the_command_writes(
    loaded: Config, tmp_path: Path, form: str, options: list[str]
) -> None:
    begin, end = rfc3339(START_S + 100), rfc3339(START_S + 10 * (POLLS - 5))
    target = tmp_path / "file"
    words = ["readings", loaded.path, *METERS, "--from", begin, "--to", end, "--points", "count", *options]
    gateway_command(*words, "-o", target).ended()
    query = f"meter={METERS[0]}&meter={METERS[1]}&from={begin}&to={end}&points=count&form={form}"

    async def fetched() -> tuple[bytes, bytes]:
        view = {"/export": lambda asked: export(loaded, asked.pairs, 0)}
        async with serving(loaded, view) as (guest, portions):
            reader, writer = await guest.send("GET", f"/export?{query}")
            found = await body_of(reader)
            writer.close()
            assert portions.open == 0
            return found

    head, body = asyncio.run(fetched())
    assert b"attachment; filename=" in head
    assert body == target.read_bytes()
    assert body.count(b"\n") >= 2 * (POLLS - 20) > 2 * PORTION


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ([("form", "xml")], "export-form"),
        ([("from", "yesterday")], "moment-unreadable"),
        ([("from", "-1h"), ("to", "-2h")], "range-backwards"),
        ([("meter", "no-such")], "page-no-meter"),
        ([("points", "no-such")], "readings-no-point"),
    ],
)
def test_an_export_that_cannot_be_is_refused_before_it_begins(
    loaded: Config, query: list[tuple[str, str]], code: str
) -> None:
    store = Database(loaded.database, read_only=True)
    with closing(store), pytest.raises(BadQuery) as refused:
        export(loaded, query, START_S * 1000).begin(store)
    assert refused.value.message is not None
    assert refused.value.message.code == code


def test_portions_are_made_in_turn_and_who_does_not_read_is_cut_off(loaded: Config) -> None:
    made, go = list[str](), threading.Event()

    def view(asked: Asked) -> Listing[Database]:
        size = 600_000 if asked.path == "/idle" else 1000
        return cast(Listing[Database], Numbers(asked.path, made, 6, size, go))

    async def test() -> None:
        async with serving(loaded, {f"/{name}": view for name in ("a", "b", "idle")}, send_s=0.5) as (guest, portions):
            _, idle = await guest.send("GET", "/idle")
            idle.transport.pause_reading()  # type: ignore[attr-defined]
            others = [await guest.send("GET", f"/{name}") for name in "ab"]
            await until(lambda: portions.open == 3)
            go.set()
            bodies = [(await body_of(reader))[1] for reader, _ in others]
            assert [len(body) for body in bodies] == [6000, 6000]
            assert sorted(made[:3]) == ["/a", "/b", "/idle"]
            await until(lambda: portions.cut == 1 and portions.open == 0)
            assert made.count("/idle") < 6
            idle.close()

    asyncio.run(test())


class Fails(Numbers):
    """Its third portion fails, the others would not; what follows is asked for before that is known."""

    def portion(self, store: Database, most_bytes: int) -> bytes:
        if len(self.made) == 2:
            self.made.append("failed")
            raise Declined(Message("lists-too-many", most=1))
        return super().portion(store, most_bytes)


def test_nothing_is_made_behind_a_portion_that_failed(loaded: Config) -> None:
    made, go = list[str](), threading.Event()
    go.set()

    async def test() -> None:
        view = {"/list": lambda asked: cast(Listing[Database], Fails("made", made, 9, 1000, go))}
        async with serving(loaded, view) as (guest, portions):
            reader, writer = await guest.send("GET", "/list")
            assert (await body_of(reader))[1] == b"x" * 2000 + b"ended"
            writer.close()
            await until(lambda: portions.open == 0)

    asyncio.run(test())
    assert made == ["made", "made", "failed"]


def test_portions_are_long_where_a_list_is_alone(loaded: Config) -> None:
    go, lists = threading.Event(), list[Numbers]()

    def view(asked: Asked) -> Listing[Database]:
        lists.append(Numbers(asked.path, [], 4, 1000, go))
        return cast(Listing[Database], lists[-1])

    async def test() -> None:
        async with serving(loaded, {f"/{name}": view for name in "ab"}) as (guest, portions):
            both = [await guest.send("GET", f"/{name}") for name in "ab"]
            await until(lambda: portions.open == 2)
            go.set()
            for reader, _ in both:
                await body_of(reader)
            await until(lambda: portions.open == 0)
            reader, _ = await guest.send("GET", "/a")
            await body_of(reader)

    asyncio.run(test())
    assert [one.lengths[:2] for one in lists[:2]] == [[PORTION_BYTES] * 2] * 2
    assert lists[2].lengths == [PORTION_BYTES, *[ALONE_BYTES] * 3]


def test_only_so_many_lists_are_written_at_once_and_a_logout_ends_one(loaded: Config) -> None:
    made, go = list[str](), threading.Event()
    go.set()

    def view(asked: Asked) -> Listing[Database]:
        return cast(Listing[Database], Numbers(asked.path, made, 10_000, 300_000, go))

    async def test() -> None:
        async with serving(loaded, {"/long": view}, most=2) as (guest, portions):
            open_ = [await guest.send("GET", "/long") for _ in range(2)]
            for reader, _ in open_:
                await reader.readuntil(b"\r\n\r\n")
            refused, third = await guest.send("GET", "/long")
            assert b" 503 " in await refused.readline()
            third.close()
            await guest.login("vera")  # ends the session before
            for reader, _ in open_:
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await reader.readexactly(10_000 * 300_000)
            await until(lambda: portions.open == 0)

    asyncio.run(test())


def test_a_list_that_waits_for_its_client_holds_no_state_of_the_database(loaded: Config) -> None:
    async def test() -> None:
        view = {"/export": lambda asked: export(loaded, asked.pairs, 0)}
        async with serving(loaded, view) as (guest, portions):
            _, idle = await guest.send("GET", "/export?form=jsonl")
            idle.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: portions.open == 1)
            await asyncio.sleep(0.04)
            with closing(Database(loaded.database)) as store:
                assert store.all("PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
            idle.close()
            await until(lambda: portions.open == 0)

    asyncio.run(test())


def portions_of(listing: Listing[Database], store: Database) -> Iterator[bytes]:
    listing.begin(store)
    while not listing.over:
        yield listing.portion(store, PORTION_BYTES)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_ends_early_says_so_in_its_last_line(tmp_path: Path, form: str) -> None:
    hands = Hands(loaded := site(tmp_path / "site", {'every = "60s"': 'every = "10s"'}))
    hands.store.run("PRAGMA synchronous = OFF")
    hands.poll(300)
    settle(hands.store, range(hands.store.batches.count()), PrivateKey.generate())
    listing = export(loaded, [("form", form)], 0)
    steps = portions_of(listing, hands.store)
    body = next(steps) + next(steps)
    while prune(hands.store, [], 1 << 60, lambda store, batch: None):
        pass
    with pytest.raises(GatewayError) as ended:
        next(steps)
    body += listing.cut_short(ended.value)
    last = body.decode().splitlines()[-1]
    if form == "jsonl":
        assert json.loads(last)["code"] == "readings-pruned"
    else:
        assert last.strip('"').startswith("readings-pruned: ")
    assert len(body.splitlines()) == 2 * PORTION + (2 if form == "csv" else 1)
    hands.end()


def test_portions_of_long_readings_are_no_longer_than_others(tmp_path: Path) -> None:
    loaded, hands = site_of(tmp_path / "site", 1)
    values = tuple(Value(f"text_{n}", "x" * 200) for n in range(200))
    for _ in range(30):
        now = Timestamp.now(hands.clock)
        hands.journal.poll(PollResult(METERS[0], now.time_ms, Reading(now.time_ms, values), now))
        hands.machine.passes(10)
        hands.journal.keep_time()
    found = list(portions_of(export(loaded, [("meter", METERS[0])], 0), hands.store))
    longest = 200 * 400
    assert len(found) > 5
    assert max(map(len, found)) < PORTION_BYTES + longest
    assert b"".join(found).count(b"\n") == 1 + 1 + 30 * 200
    hands.end()
