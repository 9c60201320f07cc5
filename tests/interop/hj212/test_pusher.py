"""The peer itself: the packets that the standard prints, and those of the field, get their verdicts from it too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.interop.hj212.peer import Row, build, checked, host, pushed, rows


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("hj212"))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.name}-{row.meaning.replace(' ', '_')}")
def test_a_published_packet_gets_its_verdict(program: Path, row: Row) -> None:
    (verdict,) = checked(program, [row.packet])
    assert (verdict["length_field"], verdict["length"]) == (row.length_given, row.length)
    assert (verdict["crc_given"], verdict["crc"]) == (row.crc_given.upper(), row.crc)
    assert (verdict["length_ok"] and verdict["crc_ok"]) == row.is_good


def test_it_pushes_what_it_takes(program: Path) -> None:
    async def both() -> None:
        async with host(program, answers=4) as there:
            how = {"cp": "DataTime={t};a=1;b=2;c={n}", "parts": 2, "count": 2}
            code, pushes = await asyncio.to_thread(pushed, program, there.port, **how)
            assert code == 0
            assert [(e["n"], e["pno"], e["answer"]["CN"]) for e in pushes] == [
                (1, 1, "9014"), (1, 2, "9014"), (2, 1, "9014"), (2, 2, "9014"),
            ]  # fmt: skip
            taken = await there.until(4)
            assert all(e["length_ok"] and e["crc_ok"] for e in taken)
            assert [e["QN"] for e in taken] == [e["qn"] for e in pushes]
            assert [e["CP"].split(";", 1)[1] for e in taken] == ["a=1", "b=2;c=1", "a=1", "b=2;c=2"]
            code, pushes = await asyncio.to_thread(pushed, program, there.port, timeout_ms=50, resends=2)
            assert (code, pushes[0]["tries"], pushes[0]["answered"]) == (1, 3, False)
            assert len({e["raw"] for e in (await there.until(7))[4:]}) == 1

    asyncio.run(both())
