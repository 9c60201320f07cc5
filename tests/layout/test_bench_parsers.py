"""The parsers and listeners put to any bytes: nothing is raised but our own refusals, and right frames are taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.campaigns.streams import parsers
from tests.campaigns.streams.parser_cases import CODECS
from tests.campaigns.streams.parser_streams import Codec, search
from tests.interop.hj212.peer import rows


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return parsers.run(**parsers.SMALLEST[0])


def test_listeners_take_what_is_right_beside_garbage(figures: dict[str, Any]) -> None:
    assert figures["messages_sent"] >= 10
    assert figures["messages_taken"] == figures["messages_sent"]
    assert figures["of_them_behind_a_silence"] == 1
    assert figures["polls"] >= 4
    assert figures["polls_missed"] == 0
    assert figures["memory_is_flat"]


def test_no_parser_raises_and_none_stays_deaf(figures: dict[str, Any]) -> None:
    assert figures["findings"] == 0
    assert all(int(str(figures[f"{name}_streams"])) > 50 for name in CODECS)


def test_published_packets_are_streams_too() -> None:
    take = CODECS["hj212"].take
    for row in rows():
        for cut in (1, len(row.packet) // 2, len(row.packet) - 1):
            take([row.packet[:cut], row.packet[cut:]])


def test_a_parser_that_raises_is_found() -> None:
    def take(pieces: Sequence[bytes]) -> None:
        if b"##" in b"".join(pieces):
            raise IndexError("beyond the end")

    streams, findings = search(Codec(take, (b"##0000",), bytes, b"#0"), 2.0, 0)
    assert any(finding.startswith("IndexError: beyond the end") for finding in findings)
    assert streams >= 0
