"""After a restart the pages know what the database knows: the last reading of a meter, and since when it is silent."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from gateway.records import PollResult
from gateway.storage.database import Database
from tests.gateway.dashboard.looks import looker
from tests.support.epochs import epoch, until
from tests.support.samples import Hands, Machine, site

METER, HOUR_MS = "export-main", 3_600_000


def timeouts(hands: Hands, count: int) -> None:
    """``count`` polls of the meter that are not answered."""
    for _ in range(count):
        due_ms = hands.anchor_ms + hands.polls * Hands.EVERY_MS
        hands.journal.poll(PollResult(METER, due_ms, None, None, "timeout"))
        hands.polls += 1
        hands.machine.passes(Hands.EVERY_MS / 1000)
        hands.journal.keep_time()


def test_a_meter_that_was_silent_before_the_restart_is_silent_since_then(tmp_path: Path) -> None:
    loaded, machine = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'}), Machine()
    first = Hands(loaded, machine)
    first.poll(3)
    fell_ms = first.clock.now_ms()
    timeouts(first, 30)
    first.end()
    machine.passes(3600)
    second = Hands(loaded, machine, epoch=bytes(8))  # nobody looked at it in this hour
    timeouts(second, 5)
    second.end()

    async def work() -> tuple[str, str]:
        async with epoch(loaded) as running:
            now, other = running.live.meters[METER], running.live.meters["stack-co2"]
            await until(lambda: now.earlier and other.earlier and now.silent_since_ms)
            assert now.reading is None
            assert now.silent_since_ms is not None
            assert 0 <= now.silent_since_ms - fell_ms + Hands.EVERY_MS <= Hands.EVERY_MS
            assert other.silent_since_ms is None or other.silent_since_ms > fell_ms + HOUR_MS, "it was answering"
            look, store = looker(running), Database(loaded.database, read_only=True)
            pages = [look("/", store, {}, {}, language=language).body.decode() for language in ("en", "zh")]
            meter = look("/meters/{meter}", store, {"meter": METER}, {}, language="en").body.decode()
            store.close()
            assert f'No answer from this meter for <span data-age="{now.silent_since_ms}">' in meter
            return pages[0], pages[1]

    english, chinese = asyncio.run(work())
    minutes = max(map(int, re.findall(r"no answer for (\d+) min", english)))
    assert 3600 + 35 * 10 <= 60 * (minutes + 1) < 3600 + 45 * 10
    assert "no reading yet" not in english
    assert "尚无读数" not in chinese
    assert "0 of 3 responding" in english
    assert "Normal operation" not in english
