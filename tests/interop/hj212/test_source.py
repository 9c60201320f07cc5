"""The source of HJ 212 against the C logger: it reads what that sends, and its answers are what that waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.fieldbus.wire.source import Heard
from tests.gateway.fieldbus.hj212.loggers import Listening, in_loop, listening, station
from tests.interop.hj212.peer import SAFETY_S, build, pushed

MN = "A1"
CP = "DataTime={t};a21026-Rtd=1.{n},a21026-Flag=N;a19001-Rtd=6;a00000-Rtd=3"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("hj212"))


async def pushes(
    there: Listening, program: Path, least: int = 0, **how: Any
) -> tuple[int, list[dict[str, Any]], list[Heard]]:
    """Let the C logger upload, and reply to all that is heard; its exit code, what it printed, and what was heard:
    ``least`` messages, for one that waits for no answer may be gone before its connection is taken."""
    heard, before = list[Heard](), there.facts.counters["heard"]

    async def replies() -> None:
        while True:
            heard.append(await there.heard())
            there.reply(heard[-1])

    answering = asyncio.create_task(replies())
    try:
        options = {"mn": MN, "cp": CP, **how}
        code, sent = await asyncio.to_thread(pushed, program, there.source.tcp_port, **options)
        async with asyncio.timeout(SAFETY_S):
            while there.source.connections or len(heard) < max(least, there.facts.counters["heard"] - before):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    finally:
        answering.cancel()
    return code, sent, heard


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"crc": "lower"},
        {"ends": "none"},
        {"cut": 40},
        {"flag": "none", "qn": "none"},
        {"parts": 3},
        {"parts": 3, "time_in": "each"},
    ],
    ids=str,
)
def test_what_the_c_logger_sends_is_heard_and_answered(program: Path, how: dict[str, Any]) -> None:
    @in_loop
    async def run() -> None:
        async with listening(station(MN)) as there:
            code, sent, heard = await pushes(there, program, 3 * how.get("parts", 1), count=3, **how)
            assert code == 0, sent
            assert len(heard) == len(sent) == 3 * how.get("parts", 1)
            assert there.facts.counters == {"heard": len(heard)}
            values = {place: text for one in heard for place, text in there.texts(one).items()}
            assert values["a21026-Rtd"].startswith("1.")
            assert [one["answered"] for one in sent] == [how.get("flag") != "none"] * len(sent)

    run()


@pytest.mark.parametrize(("how", "reason"), [({"crc": "damaged"}, "crc"), ({"length_off": -3}, "length")], ids=str)
def test_what_the_c_logger_damages_is_refused_each_time(program: Path, how: dict[str, Any], reason: str) -> None:
    @in_loop
    async def run() -> None:
        async with listening(station(MN)) as there:
            code, sent, heard = await pushes(there, program, timeout_ms=50, resends=2, **how)
            assert (code, sent[0]["tries"], heard) == (1, 3, [])
            await there.until(**{reason: 3})
            good, sent, heard = await pushes(there, program)
            assert (good, sent[0]["answered"], len(heard)) == (0, True, 1)

    run()
