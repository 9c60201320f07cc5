"""Streams of bytes for a parser: right frames, damaged ones and noise, one behind the other, cut anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Take = Callable[[Sequence[bytes]], None]
"""A parser put to a stream in pieces; what it raises is a finding."""
Seal = Callable[[bytes], bytes]
"""A body → its frame, whose length and check value are right whatever it holds."""
PORTION = 400
"""Examples between two looks at the clock."""


@st.composite
def _damaged(draw: st.DrawFn, frames: Sequence[bytes], alphabet: bytes) -> bytes:
    frame, meant = bytearray(draw(st.sampled_from(frames))), st.lists(st.sampled_from(alphabet), max_size=4).map(bytes)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(frame)))
        what = draw(st.sampled_from(("digit", "change", "cut", "insert", "end")))
        digits = [at for at, byte in enumerate(frame) if byte in b"0123456789"]
        if what == "digit" and digits:  # what looks like a number or a time still does
            frame[draw(st.sampled_from(digits))] = draw(st.sampled_from(b"0123456789"))
        elif what in ("digit", "change"):
            frame[place : place + 1] = draw(st.one_of(meant, st.binary(min_size=1, max_size=1)))
        elif what == "cut":
            del frame[place : place + draw(st.integers(1, 12))]
        elif what == "insert":
            frame[place:place] = draw(st.one_of(meant, st.binary(max_size=6)))
        else:
            del frame[place:]
    return bytes(frame)


@dataclass(frozen=True, slots=True)
class Codec:
    """A parser, what its streams are made of, and the bytes that mean something to it."""

    take: Take
    bodies: tuple[bytes, ...]
    seal: Seal
    alphabet: bytes


def streams(codec: Codec) -> st.SearchStrategy[list[bytes]]:
    """Pieces as a socket or port might give them: right frames, frames with damage under a right check value, damaged
    frames, noise."""
    frames = [codec.seal(body) for body in codec.bodies]
    noise = st.lists(st.sampled_from(codec.alphabet), max_size=40).map(bytes)
    sealed = st.one_of(_damaged(codec.bodies, codec.alphabet), noise, st.binary(max_size=40)).map(codec.seal)
    parts = st.one_of(st.sampled_from(frames), sealed, sealed, _damaged(frames, codec.alphabet), noise)
    return st.builds(_cut, st.lists(parts, max_size=6), st.lists(st.integers(0, 1000), max_size=6))


def _cut(parts: list[bytes], places: list[int]) -> list[bytes]:
    """``places`` in thousandths of the whole."""
    whole = b"".join(parts)
    edges = [0, *(len(whole) * place // 1000 for place in sorted(places)), len(whole)]
    return [whole[a:b] for a, b in pairwise(edges) if a < b]


def search(codec: Codec, seconds: float, begin: int) -> tuple[int, list[str]]:
    """Put a parser to streams for so long; how many there were, and each finding once. ``begin``: of the seeds."""
    count, findings, end = 0, list[str](), time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            begin += 1
            count += _portion(codec, begin, end)
        except Exception as error:
            findings.append(f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}")
            if len(findings) == 10:
                break
    return count, sorted(set(findings))


def _portion(codec: Codec, number: int, end: float) -> int:
    taken = 0

    def one(pieces: list[bytes]) -> None:
        nonlocal taken
        if time.monotonic() < end:
            codec.take(pieces)
            taken += 1

    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    how = settings(
        max_examples=PORTION, deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck)
    )
    seed(number)(how(given(streams(codec))(one)))()
    return taken
