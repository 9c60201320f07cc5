"""The parsers put to any bytes for 20 s: nothing is raised but our own refusals, and right frames are taken again."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import parsers
from benchmarks.parts.parser_cases import CODECS
from benchmarks.parts.parser_streams import Codec, search
from tests.interop.hj212.peer import rows


def test_no_parser_raises_and_none_stays_deaf() -> None:
    figures = parsers.run(**parsers.SMALLEST[0])
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
