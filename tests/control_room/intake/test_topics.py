"""Subjects and topics, against the server's own conversion."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from control_room.intake.topics import STORED, again_subject, topic_of
from tests.control_room.intake.client import gateway, linked
from tests.support.brokers.nats import Node

TOPICS = [
    "meterseal-records/v1/gw-1/records", "meterseal-records/v1/gw.1/records", "meterseal-records/v1/a..b/.status",
    "meterseal-records/v1/a...b./gone", "meterseal-records/v1//records", "meterseal-records/v1/x//",
    "meterseal-records/v1/中/x", "meterseal-records/v1/a*/b>", "meterseal-records/v1/./..", "meterseal-records/v1/a./b",
]  # fmt: skip


def test_the_server_converts_topics_and_topic_of_turns_them_back(node: Node) -> None:
    async def subjects(link: Client) -> list[str]:
        seen = asyncio.Queue[str]()

        async def arrived(message: object) -> None:
            seen.put_nowait(message.subject)  # type: ignore[attr-defined]

        await link.subscribe(f"{STORED}meterseal-records.v1.>", cb=arrived)
        await link.flush()
        with gateway(node, "topics") as client:
            for topic in TOPICS:
                await asyncio.to_thread(client.publish, topic, b"")
            return [await asyncio.wait_for(seen.get(), 20) for _ in TOPICS]

    async def main() -> list[str]:
        async with linked(node) as link:
            return await subjects(link)

    assert [topic_of(subject) for subject in asyncio.run(main())] == TOPICS


@pytest.mark.parametrize("name", ["gw-1", "gw.1", "a..b", "x."])
def test_what_is_published_to_a_gateway_reaches_its_topic(node: Node, name: str) -> None:
    async def main() -> None:
        async with linked(node) as link:
            await link.publish(again_subject(name), b"ask")
            await link.flush()

    with gateway(node, "again") as client:
        client.subscribe(f"meterseal-records/v1/{name}/again")
        asyncio.run(main())
        assert client.wait_for(1) == [(f"meterseal-records/v1/{name}/again", b"ask")]


@given(st.text())
def test_any_subject_is_taken(subject: str) -> None:
    assert isinstance(topic_of(subject), str)


def test_topics_of_two_subjects_differ() -> None:
    names = ["".join(letters) for n in range(1, 5) for letters in itertools.product("a.", repeat=n)]
    assert len({topic_of(again_subject(name)) for name in names}) == len(names)
    assert [topic_of(again_subject(name)) for name in names] == [f"meterseal-records/v1/{name}/again" for name in names]
