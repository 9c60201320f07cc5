"""Who watches and does not read is cut off and costs nobody else; who goes, or is logged out, is let go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.config.load import load_config
from gateway.dashboard.asgi_server import Serving
from gateway.dashboard.auth import setup
from gateway.dashboard.auth.exposure import users_file
from gateway.dashboard.db_readers import db_readers
from gateway.dashboard.shell.app import App
from gateway.dashboard.shell.event_stream import MOST, Stream
from gateway.dashboard.shell.kept_sessions import FILE, SessionFile
from gateway.dashboard.shell.page import Answer, Document, Pages, Rest, View
from gateway.dashboard.shell.sessions import Asked, Sessions
from gateway.dashboard.shell.users import Users
from gateway.storage.database import Database
from ledger_client.http_server.listening import listen_at
from ledger_client.messages import Message
from tests.gateway.dashboard.pages_site import PASSWORDS, pages_of

LARGE = 100_000


def login(asked: Asked, problem: Message | str) -> Answer:
    """The least of a login page."""
    return Answer(f'{problem}<form method="post"><input name="form" value="{asked.form}"></form>'.encode())


def problem(asked: Asked, status: int, problem: Message | str, way_out: str) -> Answer:
    return Answer(str(problem).encode(), status=status)


class Busy:
    """A site of which ``LARGE`` characters change at every look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> Callable[[Database], Document]:
        self.looks += 1
        letter = "ab"[self.looks % 2]
        return lambda store: {"meters": {"large": {"text": letter * LARGE}}}


@asynccontextmanager
async def serving(
    folder: Path, send_s: float = 30.0, every_s: float = 0.02, views: Mapping[str, View[Database]] | None = None
) -> AsyncIterator[tuple[int, Stream[Database], Busy]]:
    """A server whose stream is busy, and waits so long for who does not read."""
    loaded = pages_of(folder / "site", (502,), 'listen = "127.0.0.1:0"\n')
    Database(loaded.database).close()
    web, busy = loaded.document.web, Busy()
    assert web is not None
    listener = listen_at(web.listen)
    readers = db_readers(loaded.database)
    pages = Pages(views or {}, busy, login, problem, lambda name: None)
    kept = SessionFile(folder / FILE, Sessions(), lambda: 0)
    app = App(pages, readers, Users(users_file(loaded)), ("127.0.0.1",), kept)
    assert app.stream is not None
    app.stream.every_s, app.stream.send_s = every_s, send_s
    task = asyncio.create_task(Serving(loaded, web).serve(app, listener))
    try:
        yield listener.getsockname()[1], app.stream, busy
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        readers.close()


class Guest:
    """A client on asyncio's streams, which is logged in."""

    def __init__(self, port: int) -> None:
        self.port, self.cookies = port, dict[str, str]()

    async def send(
        self, method: str, path: str, body: str = "", *more: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        host = f"127.0.0.1:{self.port}"
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        kind = "Content-Type: application/x-www-form-urlencoded"
        head = f"{method} {path} HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", kind, f"Cookie: {cookie}"
        writer.write("\r\n".join((*head, *more, f"Content-Length: {len(body)}", "", body)).encode())
        return reader, writer

    async def answer(self, method: str, path: str, body: str = "", *more: str) -> str:
        reader, writer = await self.send(method, path, body, *more)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        for line in head.split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "set-cookie":
                cookie, _, value = value.partition(";")[0].partition("=")
                self.cookies[cookie] = value
        length = int(head.lower().partition("content-length: ")[2].partition("\r")[0])
        text = (await reader.readexactly(length)).decode()
        writer.close()
        return text

    async def login(self, name: str) -> None:
        page = await self.answer("GET", "/login")
        form = page.partition('name="form" value="')[2].partition('"')[0]
        password = PASSWORDS[name].replace(" ", "+")
        await self.answer("POST", "/login", f"form={form}&user={name}&password={password}")
        assert "meterseal-session" in self.cookies


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 — what is waited for happens on the other side of a socket
            await asyncio.sleep(0.01)


def test_who_does_not_read_is_cut_off_and_others_are_told_all_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, 0.5) as (port, stream, busy):
            guest = Guest(port)
            await guest.login("vera")
            reader, writer = await guest.send("GET", "/stream")
            _, idle = await guest.send("GET", "/stream")
            idle.transport.pause_reading()  # type: ignore[attr-defined]
            looks, counted = busy.looks, 0
            while not stream.cut:
                counted += (await reader.readuntil(b"\n\n")).count(b"event: ")
            assert counted >= (busy.looks - looks) // 2, "the other one was held up"
            while stream.watching > 1:
                await reader.readuntil(b"\n\n")
            await reader.readuntil(b"\n\n")
            writer.close()
            idle.close()
            await until(lambda: stream.watching == 0)
            looks = busy.looks
            await until(lambda: stream._before is None)
            assert busy.looks <= looks + 1, "nobody watches, and nobody looks"

    asyncio.run(test())


def test_a_logout_ends_the_stream_and_so_does_the_loss_of_the_user(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as (port, stream, _):
            guest = Guest(port)

            async def ends() -> None:
                while await reader.read(65536):
                    pass
                await until(lambda: stream.watching == 0)

            async with asyncio.timeout(30):
                await guest.login("vera")
                reader, _ = await guest.send("GET", "/stream")
                await reader.readuntil(b"\n\n")
                await guest.login("vera")  # which ends the session before
                await ends()
                reader, _ = await guest.send("GET", "/stream")
                await reader.readuntil(b"\n\n")
                setup.remove_user(load_config(tmp_path / "site" / "gateway.toml"), "vera")
                await ends()

    asyncio.run(test())


def test_there_are_only_so_many(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, every_s=1.0) as (port, stream, _):
            guest = Guest(port)
            await guest.login("vera")
            for _ in range(MOST):
                reader, _ = await guest.send("GET", "/stream")
                assert b" 200 " in await reader.readline()
            reader, _ = await guest.send("GET", "/stream")
            assert b" 503 " in await reader.readline()
            assert stream.watching == MOST

    asyncio.run(test())


def test_a_stream_that_is_opened_again_is_no_use_of_an_installers_session(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as (port, stream, _):
            guest = Guest(port)
            await guest.login("ines")
            used = []
            for _ in range(2):
                _, writer = await guest.send("GET", "/stream")
                await until(lambda: stream.watching == 1)
                (client,) = stream._clients
                used.append(client.session.used)
                writer.close()
                await until(lambda: stream.watching == 0)
            assert used[0] == used[1]

    asyncio.run(test())


def test_what_open_pages_ask_by_themselves_takes_one_thread_and_leaves_the_others_to_visitors(tmp_path: Path) -> None:
    go, begun = threading.Event(), list[str]()

    def view(asked: Asked) -> Rest[Database]:
        def rest(store: Database) -> Answer:
            begun.append(asked.path)
            if asked.path != "/visitor":
                go.wait(30)
            return Answer(asked.path.encode())

        return rest

    async def test() -> None:
        async with serving(tmp_path, views={"/{name}": view}) as (port, _, _):
            guest = Guest(port)
            await guest.login("vera")
            pages = [asyncio.create_task(guest.answer("GET", f"/open-{n}", "", "Meterseal-Watch: 1")) for n in range(4)]
            try:
                await until(lambda: begun)
                async with asyncio.timeout(20):
                    assert await guest.answer("GET", "/visitor") == "/visitor"
                assert begun[1:] == ["/visitor"]
            finally:
                go.set()
            assert await asyncio.gather(*pages) == [f"/open-{n}" for n in range(4)]

    asyncio.run(test())
