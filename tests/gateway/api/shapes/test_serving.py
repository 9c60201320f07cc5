"""The API when more is asked than there is time for."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.responses import Response

from gateway.api.shapes.parameters import OfGateway
from gateway.api.shapes.portions import Portions
from gateway.api.shapes.route import ApiRoute
from gateway.api.shapes.serving import AGAIN_S, MOST_WAITING, Api
from gateway.api.shapes.token_file import Tokens
from gateway.dashboard.shell.readers import Busy, Readers


class State:
    """A state of a database that is held until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """It does not change."""
        yield

    def close(self) -> None:
        """Nothing is open."""


async def asked(api: Api[None, State]) -> tuple[int, dict[str, str], bytes]:
    """Status, head and body of a request."""
    sent = list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/held", "query_string": b"", "headers": [], "root_path": ""}
    await api(scope, receive, send)
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, b"".join(one.get("body", b"") for one in sent[1:])


def test_who_comes_behind_those_that_wait_is_told_when_to_ask_again(tmp_path: Path) -> None:
    state = State()

    def held(store: State) -> Response:
        store.let_go.wait(60.0)
        return Response(b"read")

    async def run() -> None:
        readers = Readers(lambda: state, threads=1)
        try:
            route: ApiRoute[None, State, OfGateway] = ApiRoute("/held", "", None, OfGateway, look=lambda call: held)
            api = Api(
                [route], None, readers, Portions(readers), Tokens(tmp_path / "api.tokens"),
                busy=Busy, knows=lambda name: True, now_ms=lambda: 0,
            )  # fmt: skip
            waiting = [asyncio.create_task(asked(api)) for _ in range(MOST_WAITING)]
            await asyncio.sleep(0)  # each has asked
            async with asyncio.timeout(30):
                status, head, body = await asked(api)
            assert (status, head["retry-after"]) == (503, str(AGAIN_S))
            assert head["content-type"] == "application/problem+json"
            assert json.loads(body)["code"] == "api-busy"
            state.let_go.set()
            assert [(status, body) for status, _, body in await asyncio.gather(*waiting)] == [
                (200, b"read")
            ] * MOST_WAITING
            assert (await asked(api))[0] == 200, "there is time again"
        finally:
            state.let_go.set()
            readers.close()

    asyncio.run(run())
