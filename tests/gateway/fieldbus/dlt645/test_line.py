"""A line of DL/T 645 meters on a pseudo-terminal and over TCP: what their answers give, refuse and teach."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.fieldbus.dlt645.frames import MORE_FOLLOWS, Request
from gateway.fieldbus.specs import Poll
from tests.gateway.fieldbus.devices import Polls, Pty, Sent, patient, rtu_talk, running, serving
from tests.gateway.fieldbus.dlt645 import meters
from tests.gateway.fieldbus.dlt645.meters import answer, bcd, holding, refuse, requests, several

A, B = "680000000068", "123456789012"
POINTS = (
    meters.point("total", "0001FF00", part=1),
    meters.point("sharp", "0001FF00", part=2),
    meters.point("volts", "02010100", "XXX.X"),
    meters.point("number", "04000402", "NNNNNNNNNNNN", record=False),
    meters.point("own", "04000401", "NNNNNNNNNNNN", record=False),
)
PROFILE = meters.profile(*POINTS, identity=("number", "own"))
VALUES = {
    "0001FF00": b"".join(bcd(n) for n in (123456, 1111, 2222, 3333, 4444)),
    "00010000": bcd(123456),
    "00010100": bcd(1111),
    "02010100": bcd(2298, 2),
    "04000402": bcd(21043387, 6),
    "04000401": bcd(680000000068, 6),
}


def without(*identifiers: str) -> dict[str, bytes]:
    return {di: value for di, value in VALUES.items() if di not in identifiers}


def values(poll: Poll) -> dict[str, object]:
    """The values of a poll by point."""
    found: dict[str, object] = {}
    for answered in poll.answers:
        decoder = answered.block.decoder({})
        split = decoder.split(answered.raw)
        found |= dict(zip((p.name for p in decoder.points), map(str, decoder.values(split, {})), strict=True))
    return found


def on_line(folder: Path, device: object, test: Callable[[Pty, Polls], Awaitable[None]], **keys: object) -> None:
    async def run() -> None:
        pty = Pty(folder / "line", device, requests)  # type: ignore[arg-type]
        spec = patient(meters.line(pty.link, meters.meter("a", A, PROFILE)))
        async with running(replace(spec, **keys)) as (_, polls):  # type: ignore[arg-type]
            await test(pty, polls)
        pty.unplug()

    asyncio.run(run())


def asked(pty: Pty) -> list[str]:
    return [request.di for _, request in pty.responder.asked]


def test_blocks_values_and_the_meter_number(tmp_path: Path) -> None:
    async def test(pty: Pty, polls: Polls) -> None:
        poll = await polls.until(lambda poll: bool(poll.answers))
        assert values(poll) == {"total": "1234.56", "sharp": "11.11", "volts": "229.8"}
        assert poll.identity == "number=000021043387"
        assert asked(pty)[:3] == ["04000402", "0001FF00", "02010100"]
        assert not poll.failures

    on_line(tmp_path, holding(VALUES), test)


def test_where_the_number_is_refused_the_address_tells_who_it_is(tmp_path: Path) -> None:
    async def test(pty: Pty, polls: Polls) -> None:
        poll = await polls.until(lambda poll: bool(poll.answers))
        assert poll.identity == "own=680000000068"
        assert asked(pty)[:2] == ["04000402", "04000401"]

    on_line(tmp_path, holding(without("04000402")), test)


def test_a_number_that_is_refused_for_once_is_no_other_meter(tmp_path: Path) -> None:
    """It is only not reported; the address in its place would be taken for another meter's identity."""
    silent, busy = [False], [False]

    def device(request: Request) -> Sent:
        if silent[0] and request.di == "02010100":
            return []
        return [(0.0, refuse(request, 0x04))] if busy[0] and request.di == "04000402" else holding(VALUES)(request)

    async def test(pty: Pty, polls: Polls) -> None:
        await polls.until(lambda poll: bool(poll.answers))
        silent[0] = busy[0] = True
        await polls.until(lambda poll: len(poll.failures) == 1, count=2)
        silent[0] = False
        before = len(polls)
        poll = await polls.until(lambda poll: poll in polls[before:] and len(poll.answers) == 2)
        assert (poll.identity, asked(pty).count("04000402")) == ("number=000021043387", 2)
        assert "exchanged" not in {poll.missed for poll in polls}
        assert "04000401" not in asked(pty)

    on_line(tmp_path, device, test)


def test_a_block_that_the_meter_does_not_have_becomes_its_values(tmp_path: Path) -> None:
    async def test(pty: Pty, polls: Polls) -> None:
        poll = await polls.until(lambda poll: "total" in values(poll))
        assert values(poll) == {"total": "1234.56", "sharp": "11.11", "volts": "229.8"}
        assert asked(pty).count("0001FF00") == 3
        first = polls[0].failures[0]
        assert (first.reason, first.block.label().code) == ("refused", "block-identifier")

    on_line(tmp_path, holding(without("0001FF00")), test)


def test_a_first_frame_that_holds_all_points_counts(tmp_path: Path) -> None:
    def device(request: Request) -> Sent:
        if request.di != "0001FF00":
            return holding(VALUES)(request)
        return [(0.0, answer(request, VALUES["0001FF00"][:12], control=MORE_FOLLOWS))]

    async def test(pty: Pty, polls: Polls) -> None:
        poll = await polls.until(lambda poll: len(poll.answers) == 2, count=3)
        assert values(poll) == {"total": "1234.56", "sharp": "11.11", "volts": "229.8"}
        assert set(asked(pty)) == {"04000402", "0001FF00", "02010100"}

    on_line(tmp_path, device, test)


def test_a_first_frame_that_does_not_is_followed_by_its_values_and_never_by_12h(tmp_path: Path) -> None:
    def device(request: Request) -> Sent:
        if request.di != "0001FF00":
            return holding(VALUES)(request)
        return [(0.0, answer(request, VALUES["0001FF00"][:4], control=MORE_FOLLOWS))]

    async def test(pty: Pty, polls: Polls) -> None:
        poll = await polls.until(lambda poll: "total" in values(poll))
        assert values(poll) == {"total": "1234.56", "sharp": "11.11", "volts": "229.8"}
        assert asked(pty).count("0001FF00") == 1
        assert polls[0].failures[0].reason == "refused"
        assert b"\x68\x12" not in pty.responder.raw

    on_line(tmp_path, device, test)


def test_a_busy_meter_is_asked_as_before(tmp_path: Path) -> None:
    def device(request: Request) -> Sent:
        return [(0.0, refuse(request, 0x01))] if request.di == "0001FF00" else holding(VALUES)(request)

    async def test(pty: Pty, polls: Polls) -> None:
        await polls.until(lambda poll: len(poll.failures) == 1 and len(poll.answers) == 1, count=5)
        assert set(asked(pty)) == {"04000402", "0001FF00", "02010100"}

    on_line(tmp_path, device, test)


def test_an_answer_under_another_identifier_is_not_taken_and_the_right_one_is(tmp_path: Path) -> None:
    def device(request: Request) -> Sent:
        other = replace(request, di="02010200")
        return [(0.0, answer(other, bcd(1111, 2))), (0.02, holding(VALUES)(request)[0][1])]

    async def test(pty: Pty, polls: Polls) -> None:
        poll = await polls.until(lambda poll: "volts" in values(poll))
        assert values(poll)["volts"] == "229.8"

    on_line(tmp_path, device, test)


@pytest.mark.parametrize("echo", ["auto", "on"])
def test_a_line_that_echoes(tmp_path: Path, echo: str) -> None:
    def device(request: Request) -> Sent:
        return [(0.0, request.frame), (0.01, holding(VALUES)(request)[0][1])]

    async def test(pty: Pty, polls: Polls) -> None:
        poll = await polls.until(lambda poll: len(poll.answers) == 2)
        assert values(poll) == {"total": "1234.56", "sharp": "11.11", "volts": "229.8"}

    on_line(tmp_path, device, test, echo=echo)


def test_another_meter_behind_the_same_address_gives_no_value(tmp_path: Path) -> None:
    number = {"now": bcd(21043387, 6)}

    def device(request: Request) -> Sent:
        return holding(VALUES | {"04000402": number["now"]})(request)

    async def run() -> None:
        pty = Pty(tmp_path / "line", device, requests)
        spec = patient(meters.line(pty.link, meters.meter("a", A, PROFILE)))
        identities = {"a": "number=000000000077"}
        async with running(spec, identities=identities) as (_, polls):
            poll = await polls.until(lambda poll: poll.missed == "exchanged")
            assert not poll.answers
            number["now"] = bcd(77, 6)
            await polls.until(lambda poll: len(poll.answers) == 2)
        pty.unplug()

    asyncio.run(run())


def test_two_meters_behind_a_device_server(tmp_path: Path) -> None:
    other = VALUES | {"0001FF00": bcd(99) * 5}

    async def run() -> None:
        async with serving(rtu_talk(several({A: holding(VALUES), B: holding(other)}), requests)) as server:
            spec = meters.line("", meters.meter("a", A, PROFILE), meters.meter("b", B, PROFILE))
            spec = patient(replace(spec, port=None, host="127.0.0.1", tcp_port=server.port))
            async with running(spec) as (_, polls):
                a = await polls.until(lambda poll: poll.meter == "a" and len(poll.answers) == 2)
                b = await polls.until(lambda poll: poll.meter == "b" and len(poll.answers) == 2)
        assert (values(a)["total"], values(b)["total"]) == ("1234.56", "0.99")

    asyncio.run(run())
