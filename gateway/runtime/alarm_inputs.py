"""Inputs of the alarm board: value flags, storage events, clock, feeds, and the checks made every minute."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.alarms.accounting_found import AccountingFound, without_plan
from gateway.alarms.checks import CONFIRMED_ONLY, run_periodic_checks
from gateway.config.model import Config
from gateway.config.notify import NOTIFY
from gateway.errors import StoreError
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.process.background import BackgroundTask
from gateway.process.threads import in_thread
from gateway.records import (
    ALARM,
    CLOCK,
    CONFIGURATION,
    GATEWAY,
    RATIO_DIFFERS,
    MissedPoll,
    News,
    NotRecorded,
    SignedRecord,
)
from gateway.runtime.context import GatewayContext
from gateway.runtime.stuck_powers import StuckPowers
from gateway.runtime.value_alarms import ValueAlarms, past_good
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Columns, Quality, Reading

if TYPE_CHECKING:
    from gateway.accounting.statements.keeper import Known
    from gateway.alarms.accounting_checks import AccountingChecks

log = logging.getLogger("meterseal.alarms")

LOOK_EVERY_S, CLOCK_EVERY_S = 60.0, 1.0
MOST_POINTS = 50
"""Names that a message can hold."""
STANDS_STILL = int(Quality.STALE | Quality.FROZEN)
FELL = int(Quality.COUNTER_RESET)
_CLOCK_SENTENCES = {"U": Message("clock-unknown"), "I": Message("clock-unsynchronised")}


class AlarmInputs(BackgroundTask):
    """Conditions from readings, events, clock, feeds and checks, for the board of one epoch. Event loop only."""

    def __init__(self, site: GatewayContext) -> None:
        self._site, self._board = site, site.board
        self._lines: dict[str, str] = {}
        self._frozen: dict[str, tuple[str, ...]] = {}
        """By meter whose values stand still: which."""
        self._powers = StuckPowers()
        self._change_noticed = False
        self._accounting: AccountingChecks | None = None
        self._values = ValueAlarms(site)
        site.hub.listeners.append(self.hear)
        self.reloaded()

    def reloaded(self) -> None:
        """Take another configuration: alarms of ledgers that left it are cleared."""
        site = self._site
        self._lines = {meter.name: line.spec.name for line in site.lines.values() for meter in line.spec.meters}
        self._board.reconfigure_ledgers({f"ledger {entry.name}" for entry in site.config.document.ledger})
        self._values.reloaded()

    def close(self) -> None:
        """Leave the hub."""
        self._site.hub.listeners.remove(self.hear)
        if self._accounting is not None:
            self._accounting.close()

    async def run(self) -> None:
        """Look at clock, feeds and receivers once a second, at all else once a minute."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            self._look_at_clock()
            self._look_at_feeds()
            self._look_at_receivers()
            self._values.look()
            if loop.time() >= due_s:
                due_s = loop.time() + LOOK_EVERY_S
                await self._look()
            await asyncio.sleep(CLOCK_EVERY_S)

    def hear(self, news: Sequence[News]) -> None:
        """What has happened, in the event loop."""
        for item in news:
            if isinstance(item, NotRecorded):
                self._reading(item.meter, item.reading)
            elif isinstance(item, SignedRecord) and isinstance(item.body, Reading):
                self._reading(item.row.meter, item.body)
            elif isinstance(item, SignedRecord) and isinstance(item.body, Event):
                self._event(item.row.meter, item.body)
            elif isinstance(item, MissedPoll) and item.reason == "asleep" and item.meter in self._lines:
                self._board.sleeps(item.meter)

    def _reading(self, meter: str, reading: Reading) -> None:
        if meter not in self._lines:  # of before a reload
            return
        self._board.answered(meter)
        flags, stuck = _flags(reading), self._powers.look(meter, reading)
        if flags & STANDS_STILL or stuck or meter in self._frozen:
            self._still(meter, reading, stuck)
        self._values.hear(meter, reading)
        if flags & FELL:
            line = self._lines[meter]
            back = Message("counter-decreased", meter=meter, line=line, points=_points(reading, FELL))
            self._board.notice(meter, AlarmCode.COUNTER_BACK, line, back)

    def _still(self, meter: str, reading: Reading, stuck: Mapping[str, int]) -> None:
        """What stands still: by a flag of the record, or a power while others move. An alarm names all that do now."""
        line, flagged = self._lines[meter], _points(reading, STANDS_STILL)
        points = (*flagged, *sorted(stuck.keys() - set(flagged)))
        if len(points) > MOST_POINTS:
            points = (*points[: MOST_POINTS - 1], f"+{len(points) - MOST_POINTS + 1}")
        sentence = Message("values-changing", meter=meter)
        if flagged:
            sentence = Message("values-frozen", meter=meter, line=line, points=points)
        elif points:
            sentence = Message("powers-stuck", meter=meter, line=line, points=points)
        since_ms = min((reading.time_ms, *stuck.values())) if points else None
        self._board.condition(meter, AlarmCode.STALE, line, sentence, on=bool(points), since_ms=since_ms)
        if points and (before := self._frozen.get(meter, points)) != points:
            self._board.restate(meter, AlarmCode.STALE, line, sentence, again=not {*points} <= {*before})
        self._frozen.pop(meter, None)
        if points:
            self._frozen[meter] = points

    def _event(self, meter: str, event: Event) -> None:
        fields = event.fields
        if event.name == RATIO_DIFFERS and meter in self._lines:
            self._ratios(meter, fields["ratios"])
        if event.name == ALARM and fields["code"] in (AlarmCode.BUFFER, AlarmCode.DATABASE_REPAIRED):
            sentence = sentence_in(fields, fields["text"])
            self._board.condition(GATEWAY, fields["code"], fields["line"], sentence, on=fields["raised"])
        elif event.name == CONFIGURATION and "why" in fields:  # the first part of a change
            self._board.notice(GATEWAY, AlarmCode.CONFIGURATION_CHANGED, "configuration", _change(fields))
        elif event.name == CLOCK:
            before_ms, after_ms = fields["before"], fields["after"]
            sentence = Message("clock-corrected", before_ms=before_ms, after_ms=after_ms)
            if before_ms == after_ms:
                sentence = Message("clock-slowed", before_ms=before_ms)
            self._board.notice(GATEWAY, AlarmCode.CLOCK_STEP, "clock", sentence)

    def _ratios(self, meter: str, ratios: Mapping[str, Mapping[str, str]]) -> None:
        line, sentence = self._lines[meter], Message("ratio-differs-cleared", meter=meter, line=self._lines[meter])
        if ratios:
            each = tuple(
                Message("ratio-and-configured", point=name, read=both["read"], configured=both["configured"])
                for name, both in ratios.items()
            )
            sentence = Message("ratio-differs", meter=meter, line=line, ratios=each)
        self._board.condition(meter, AlarmCode.RATIO_DIFFERS, line, sentence, on=bool(ratios))

    def _look_at_clock(self) -> None:
        letter, _ = self._site.clock.letter()
        sentence = _CLOCK_SENTENCES.get(letter) or Message("clock-synchronised")
        self._board.condition(GATEWAY, AlarmCode.CLOCK, "clock", sentence, on=letter in _CLOCK_SENTENCES)

    def _look_at_feeds(self) -> None:
        feeds = self._site.feeds
        facts = {name: feeds.facts(name) for name in feeds.names()}
        found = {
            (GATEWAY, f"feed {name}"): (
                Message("feed-not-connected", feed=name, state=sentence_in(now, now["state"])),
                None,
            )
            for name, now in facts.items()
            if not now["connected"]
        }
        self._board.set_conditions(AlarmCode.FEED_AWAY, found)
        for (source, line), (sentence, _) in found.items():
            if facts[line.removeprefix("feed ")].get("silent"):
                self._board.condition(source, AlarmCode.FEED_AWAY, line, sentence, on=True, certain=True)

    def _look_at_receivers(self) -> None:
        receivers = self._site.receivers
        facts = {name: receivers.facts(name) for name in receivers.names()}
        found = {
            (GATEWAY, NOTIFY + name): (
                Message("notify-failing", receiver=name, state=sentence_in(now, now["state"])),
                now["since"],
            )
            for name, now in facts.items()
            if now["failing"]
        }
        self._board.set_conditions(AlarmCode.NOTIFY_FAILING, found)

    async def _look(self) -> None:
        site, now_ms = self._site, self._site.clock.now_ms()
        held = site.recorder.held
        found = await in_thread(lambda: run_periodic_checks(site.config, now_ms, held), "look for alarms")
        for (meter, line), (
            sentence,
            _,
        ) in found.forged.items():  # what is found once is not good again when it is older
            self._board.condition(meter, AlarmCode.SIGNATURE_FAILURE, line, sentence, on=True)
        for code, those in found.alarms.items():
            (self._board.confirm if code in CONFIRMED_ONLY else self._board.set_conditions)(code, those)
        if found.changed and not self._change_noticed:
            self._board.notice(GATEWAY, AlarmCode.CONFIGURATION_CHANGED, "configuration", found.changed)
        self._change_noticed = True
        await self._look_at_past(now_ms)
        await self._look_at_accounting(now_ms)

    async def _look_at_past(self, now_ms: int) -> None:
        """Whether points that are bad were good before this epoch."""
        asked, database = self._values.unknown(), self._site.config.database
        if asked:
            with suppress(StoreError):  # the recorder meets the same and says so
                self._values.were_good(await in_thread(lambda: past_good(database, asked, now_ms), "look for values"))

    def _check_accounting(self, config: Config, known: Known, now_ms: int) -> AccountingFound:
        if self._accounting is None:
            from gateway.alarms.accounting_checks import AccountingChecks  # with its registries: only for plans

            self._accounting = AccountingChecks()
        return self._accounting.run(config, known, now_ms)

    async def _look_at_accounting(self, now_ms: int) -> None:
        config, known = self._site.config, self._site.keeper.known
        found = without_plan(known)
        if found is None:
            found = await in_thread(
                lambda: self._check_accounting(config, known, now_ms), "look for alarms of the accounting"
            )
        for (source, line), (sentence, _) in found.past:
            self._board.notice(source, AlarmCode.HOUR_LOST, line, sentence)
        for code, those in found.alarms.items():
            self._board.set_conditions(code, those)


def _change(fields: Mapping[str, Any]) -> Message:
    why, now, before = sentence_in(fields, fields["why"]), fields["config"].hex()[:16], fields["before"].hex()[:16]
    if user := fields.get("user"):
        return Message("configuration-changed-by", why=why, user=user, now=now, before=before)
    return Message("configuration-changed", why=why, now=now, before=before)


def _flags(reading: Reading) -> int:
    """The quality bits of all values together."""
    if isinstance(reading.values, Columns):
        return reading.values.quality
    flags = 0
    for value in reading.values:
        flags |= value.quality
    return flags


def _points(reading: Reading, flags: int) -> tuple[str, ...]:
    return tuple(value.name for value in reading.values if value.quality & flags)
