"""A small real source: a TCP server that takes JSON lines, answers what is durable, and can be taken away.

    {"unit": "A", "values": {"u": "230.1"}, "label": "1", "part": 1, "missing": ["i"], "at": 1700000000000}

A line with ``label`` has a token and is answered with the same label; one with ``kind`` is of another kind of block.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.clock import Clock
from gateway.devices.blocks import Block
from gateway.fieldbus.listening.sources import Place
from gateway.fieldbus.wire.errors import LineDown, PortError
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard, Source
from gateway.messages.message import Message
from gateway.records import Token


@dataclass
class JsonFacts:
    """What the sources of one line saw."""

    unnamed: dict[str, set[str]] = field(default_factory=dict)
    released: Counter[Token] = field(default_factory=Counter)
    opened: int = 0
    strays: Counter[str] = field(default_factory=Counter)
    came: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return {"opened": self.opened}

    def refusals(self) -> list[dict[str, Any]]:
        return []


class JsonSource:
    """One listening socket and its connections."""

    def __init__(self, blocks: Mapping[Place, Block], clock: Clock, facts: JsonFacts) -> None:
        self._blocks, self._clock, self._facts = blocks, clock, facts
        self._heard: asyncio.Queue[Heard | LineDown] = asyncio.Queue()
        self._waiting: dict[tuple[Any, Token], list[asyncio.StreamWriter]] = {}
        self._units: dict[asyncio.StreamWriter, set[Any]] = {}
        self._server: asyncio.Server | None = None

    async def open(self, spec: LineSpec) -> None:
        assert spec.listen is not None
        try:
            self._server = await asyncio.start_server(self._serve, *spec.listen)
        except OSError:
            raise PortError(spec.where, Message("device-no-connection")) from None
        self._facts.opened += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._units[writer] = set()
        while line := await reader.readline():
            message = json.loads(line)
            if message.get("break"):
                self.close()
                self._heard.put_nowait(LineDown(Message("line-closed")))
                return
            self._units[writer].add(message["unit"])
            self._take(message, writer)
        del self._units[writer]
        writer.close()

    def _take(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        unit, token = message["unit"], None
        label = message.get("kind", "message")
        block = next(block for (_, kind), block in self._blocks.items() if kind.facts["cn"] == label)
        if "label" in message:
            digest = hashlib.sha256(json.dumps(message["values"], sort_keys=True).encode()).digest()
            token = Token(message["label"], message.get("part", 1), digest)
            self._waiting.setdefault((unit, token), []).append(writer)
        missing = frozenset(message.get("missing", ()))
        heard = Heard(unit, block, message["values"], self._clock.now_ms(), message.get("at"), token, missing)
        self._heard.put_nowait(heard)

    async def hear(self) -> Heard:
        found = await self._heard.get()
        if isinstance(found, LineDown):
            raise found
        return found

    def connected(self, unit: Any) -> bool:
        return any(unit in units for units in self._units.values())

    def reply(self, unit: Any, token: Token) -> None:
        for writer in self._waiting.pop((unit, token), ()):
            writer.write(json.dumps(token.label).encode() + b"\n")

    def release(self, unit: Any, token: Token) -> None:
        self._waiting.pop((unit, token), None)
        self._facts.released[token] += 1

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._units:
            writer.close()


@dataclass(frozen=True)
class JsonKind:
    """``SourceKind`` of it; ``blocks``: the meters' blocks, by their places."""

    blocks: Mapping[Place, Block]
    names: Mapping[Place, str]
    series: bool = True
    gathers: bool = False
    identified: bool = False

    def meters(self, spec: LineSpec) -> Mapping[Place, str]:
        return self.names

    def place(self, heard: Heard) -> Place:
        return heard.unit, heard.block.label()

    def silence(self, spec: LineSpec, meter: MeterSpec | None, came: Counter[str]) -> Message:
        if meter is not None:
            return Message("meter-sends-nothing", line=spec.name, meter=meter.name, where=spec.where)
        return Message("line-sends-nothing", line=spec.name, where=spec.where)

    def facts(self, spec: LineSpec) -> JsonFacts:
        return JsonFacts()

    async def open(self, spec: LineSpec, clock: Clock, facts: JsonFacts) -> Source:
        source = JsonSource(self.blocks, clock, facts)
        await source.open(spec)
        return source
