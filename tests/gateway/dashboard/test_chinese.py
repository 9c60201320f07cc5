"""The Chinese pages of a site in trouble hold no English sentence, and the English ones what the gateway said."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator, Mapping

import pytest

from gateway.accounting.statements.retention import Retention
from gateway.anchoring.ledger_comparison import equivocation, older
from gateway.anchoring.refusals import refusal
from gateway.config.model import Config
from gateway.fieldbus.polling.line_alarms import LineAlarms
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.records import GATEWAY
from gateway.runtime.context import GatewayContext
from gateway.storage.capacity.forecast import horizon
from gateway.storage.database import Database
from gateway.storage.recovery import repair_report
from gateway.storage.rows import Conflict, Repair
from ledger_client.errors import Refused
from ledger_client.messages import Sentence
from tests.gateway.dashboard.looks import looker
from tests.support.epochs import epoch, until
from tests.support.samples import Hands, site

SENTENCE = re.compile(r"(?<![\w/.=-])[a-z]{2,}(?:,? [a-z]{2,}){2,}")
HIDDEN = re.compile(r"<(script|style|code|pre)\b.*?</\1>", re.DOTALL)
PAGES: Mapping[str, Mapping[str, str]] = {
    "/": {}, "/meters/{meter}": {"meter": "export-main"}, "/batches": {}, "/batches/{batch}": {"batch": "0"},
    "/meters/{meter}/records": {"meter": "export-main"}, "/charts": {},
    "/events": {}, "/alarms": {}, "/completeness": {}, "/diagnosis": {}, "/configuration": {},
}  # fmt: skip


def visible(page: str) -> list[str]:
    """What a visitor can read of a page, commands apart."""
    page = HIDDEN.sub("", page)
    shown = re.findall(r'(?:title|aria-label)="([^"]*)"', page) + re.split(r"<[^>]+>", page)
    return [text for part in shown if (text := html.unescape(part).strip())]


def trouble(running: GatewayContext, store: Database) -> Iterator[tuple[str, str, str, Sentence]]:
    """(source, code, line, what is said) as the gateway's parts tell them."""
    config = running.config
    conflict = Conflict(3, "demo-ledger", b"\x01" * 32, 0)
    yield GATEWAY, AlarmCode.EQUIVOCATION, "ledger demo-ledger", equivocation("gw", conflict, str(config.database))
    yield GATEWAY, AlarmCode.ROLLBACK, "ledger demo-ledger", older("demo-ledger", -1, 7)
    why = Message("batch-refused", refusal=refusal(Refused("Unknown key")))
    refused = Message("ledger-refused", ledger="demo-ledger", batch=4, why=why)
    yield GATEWAY, AlarmCode.LEDGER_REFUSED, "ledger demo-ledger", refused
    room = horizon(config, store, running.clock.now_ms(), Retention().waits, running=True).message
    yield GATEWAY, AlarmCode.ANCHOR_OVERDUE, "store", room
    repair = Repair(1, 0, "meterseal.db.damaged", "why", 120, 7, 3, 1, 120, 3, 0)
    yield GATEWAY, AlarmCode.DATABASE_REPAIRED, "store", repair_report.message(repair)
    yield (
        "export-main",
        AlarmCode.COUNTER_BACK,
        "rs485-1",
        Message("counter-decreased", meter="export-main", line="rs485-1", points=("energy_import",)),
    )
    yield GATEWAY, AlarmCode.CLOCK, "clock", Message("clock-unsynchronised")


async def in_trouble(running: GatewayContext, store: Database) -> list[str]:
    """Everything is wrong at once; the texts of the alarms that stand then."""
    board, since_ms = running.board, running.clock.now_ms() - 7_200_000
    for source, code, line, sentence in trouble(running, store):
        board.condition(source, code, line, sentence, on=True, since_ms=since_ms)
    for worker in running.lines.values():
        LineAlarms(worker.spec, board.line_alarm).port_gone("there is no such port")
    await until(lambda: len(board.listed()) > 7)
    return [alarm.text for alarm in board.listed()]


def wronged(loaded: Config) -> None:
    """A site of which the doctor has much to say."""
    next(loaded.keys.glob("*.pem")).unlink()
    loaded.keys.chmod(0o777)
    loaded.trust.write_text('[policy]\nreceipts = 1\nledgers = ["another"]\n')


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """By language: every page of a site in trouble; under "said" the texts of its alarms."""
    loaded = site(tmp_path_factory.mktemp("chinese") / "site")
    hands = Hands(loaded)
    hands.poll(10)
    hands.end()

    async def look() -> dict[str, dict[str, str]]:
        async with epoch(loaded) as running:
            store, see = Database(loaded.database, read_only=True), looker(running)
            sentences = await in_trouble(running, store)
            wronged(loaded)
            await until(lambda: b"data-again" not in see("/diagnosis", store, {}, {}).body)
            shown = {
                language: {path: see(path, store, params, {}, language).body.decode() for path, params in PAGES.items()}
                for language in ("zh", "en")
            }
            store.close()
            return shown | {"said": dict.fromkeys(sentences, "")}

    return asyncio.run(look())


@pytest.mark.parametrize("path", PAGES)
def test_no_english_sentence_is_left_on_a_chinese_page(path: str, pages: dict[str, dict[str, str]]) -> None:
    assert [text for text in visible(pages["zh"][path]) if SENTENCE.search(text)] == []


def test_the_english_pages_show_what_the_gateway_said(pages: dict[str, dict[str, str]]) -> None:
    shown = " ".join(visible(pages["en"]["/alarms"]))
    sentences = [text.partition("; fix: ")[0] for text in pages["said"]]
    assert [text for text in sentences if "`" not in text and text not in shown] == []
    assert "the kernel reports the clock as not synchronised" in shown


def test_the_doctor_found_something_of_each_kind(pages: dict[str, dict[str, str]]) -> None:
    assert [kind for kind in ("q-good", "q-uncertain", "q-bad") if kind not in pages["zh"]["/diagnosis"]] == []
