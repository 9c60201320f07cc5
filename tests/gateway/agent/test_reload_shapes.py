"""What a line knows of its shapes outlives a reload: no answer life is waited out, and no shape is asked too soon."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

from gateway.acquisition import line_use
from gateway.agent.epoch import Epoch
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.fieldbus.modbus.frames import Shape
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.wire.connections import Endpoint
from tests.gateway.fieldbus.devices import Pty, addresses
from tests.support.epochs import running, until
from tests.support.samples import rewrite, site

PORT, METER, LIFE_S = "rs485-1", "export-main", 0.8


def made(folder: Path, answer_life: str) -> Config:
    """A serial line on a pseudo-terminal; the ledger is left out."""
    changes = {'every = "10s"': 'every = "2m"', "stopbits = 1": f'stopbits = 1\nanswer_life = "{answer_life}"'}
    found = site(folder / "site", changes)
    found.path.write_text(found.path.read_text().partition("[[ledger]]")[0])
    return load_config(found.path)


async def reload(epoch: Epoch) -> None:
    seen = await epoch.site.order("preview")
    assert (await epoch.site.order("reload", fingerprint=seen["fingerprint"]))["done"]


def endpoint(epoch: Epoch) -> Endpoint:
    (found,) = (line for line in epoch.site.lines.values() if line.spec.port is not None)
    assert isinstance(found, Line)
    return found.endpoint


def test_a_reload_keeps_what_it_knows_of_the_shapes_of_an_unchanged_line(tmp_path: Path) -> None:
    """Of one that is opened anew on the same port: its polls go on at once, in shapes that are old enough."""
    loaded = made(tmp_path, "800ms")

    async def work() -> None:
        pty = Pty(loaded.path.parent / PORT, addresses)
        asked = pty.responder.asked
        async with running(loaded) as epoch:
            await until(lambda: epoch.site.lines[PORT].last_answered(METER))
            known = endpoint(epoch)
            for number, change in enumerate(
                [('every = "2m"', 'every = "3m"'), (f'name = "{PORT}"', 'name = "cellar"')]
            ):
                rewrite(loaded, change)
                await reload(epoch)
                assert endpoint(epoch) is known
                never_asked = asked[-1][1].key._replace(byte_count=250)
                assert not known.table.young(never_asked, epoch.site.clock.monotonic())
                name = (PORT, "cellar")[number]
                await until(lambda name=name: epoch.site.lines[name].last_answered(METER))  # type: ignore[misc]
            assert PORT not in epoch.site.lines
        pty.unplug()
        times: dict[Shape, list[float]] = {}
        for at, request in asked:
            times.setdefault(request.key, []).append(at)
        assert any(len(several) > 1 for several in times.values())
        for several in times.values():
            assert all(later - earlier >= LIFE_S - 0.01 for earlier, later in pairwise(several))

    asyncio.run(work())


def test_what_was_asked_by_hand_meanwhile_is_waited_out_by_a_line_that_is_opened_anew(tmp_path: Path) -> None:
    loaded = made(tmp_path, "60s")

    async def work() -> None:
        pty = Pty(loaded.path.parent / PORT, addresses)
        async with running(loaded) as epoch:
            await until(lambda: epoch.site.lines[PORT].last_answered(METER))
            table, (_, request) = endpoint(epoch).table, pty.responder.asked[-1]
            line = epoch.site.lines[PORT]
            with line_use.noting(loaded, str(line.spec.port), epoch.site.clock.now_ms) as opened:
                opened()
            rewrite(loaded, ('every = "2m"', 'every = "3m"'))
            await reload(epoch)
            assert endpoint(epoch).table is table
            never_asked = request.key._replace(byte_count=250)
            assert table.young(never_asked, epoch.site.clock.monotonic())
        pty.unplug()

    asyncio.run(work())


def test_a_line_on_another_port_knows_nothing_of_its_shapes(tmp_path: Path) -> None:
    loaded = made(tmp_path, "60s")

    async def work() -> None:
        pty = Pty(loaded.path.parent / PORT, addresses)
        other = Pty(loaded.path.parent / "rs485-2", addresses)
        async with running(loaded) as epoch:
            known = endpoint(epoch)
            rewrite(loaded, (f'port = "{PORT}"', 'port = "rs485-2"'))
            await reload(epoch)
            assert endpoint(epoch) is not known
            assert endpoint(epoch).table.young(pty.responder.asked[0][1].key, epoch.site.clock.monotonic())
        pty.unplug()
        other.unplug()

    asyncio.run(work())
