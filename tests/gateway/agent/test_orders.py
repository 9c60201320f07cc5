"""The table of orders: fixed ones, and one for each feed that is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import Declined
from gateway.messages.message import Message
from tests.support.epochs import epoch
from tests.support.gateways.desk import wide_site

FIXED = {
    "accept", "acknowledge", "acknowledge-shown", "alarms", "clear-shared", "commission", "health", "lines", "look",
    "preview", "refused", "registers", "reload", "shelve", "sign", "unshelve",
}  # fmt: skip


def test_a_feed_can_be_asked_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    async def work() -> None:
        async with epoch(wide_site(tmp_path / "site", {"bus-1": ["meter-a"]})) as running:
            orders, facts = running.orders, {"connected": False, "state": "connecting"}
            assert (set(orders), len(orders)) == (FIXED, len(FIXED))
            running.feeds.join("scada", lambda: facts)
            assert (set(orders), len(orders)) == (FIXED | {"feed scada"}, len(FIXED) + 1)
            assert await running.order("feed scada") == facts
            running.feeds.leave("scada")
            for unknown in ("feed scada", "feed ", "scada", 7):
                with pytest.raises(KeyError):
                    orders[unknown]  # type: ignore[index]

    asyncio.run(work())


def test_an_order_about_what_is_not_there_is_declined(tmp_path: Path) -> None:
    async def work() -> None:
        loaded = wide_site(tmp_path / "site", {"bus-1": ["meter-a"]})
        async with epoch(loaded) as running:
            with pytest.raises(Declined, match="no meter meter-b") as declined:
                await running.order("accept", meter="meter-b", serial="1", reason="")
            assert str(loaded.path) in declined.value.way_out
            for line in ("bus-1", "bus-2"):
                with pytest.raises(Declined) as declined:
                    await running.order("clear-shared", line=line, user="ines")
                assert declined.value.message == Message("shared-not-known", line=line)

    asyncio.run(work())
