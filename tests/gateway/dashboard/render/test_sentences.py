"""What the gateway says in sentences is said in Chinese: the table holds all of it, and hostile texts cost nothing."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dashboard.render import sentences as module
from gateway.dashboard.render.sentences import KEPT, LONGEST, MOST_LOOKS, said, sentences
from gateway.doctor.run import CHECKS

ROOT = Path(__file__).parents[4]
PRODUCERS = [
    *sorted((ROOT / "gateway/doctor").glob("*.py")),
    *(ROOT / "gateway" / f"{name}.py" for name in (
        "alarms/board", "alarms/grouping", "alarms/active", "alarms/checks", "runtime/alarm_inputs", "alarms/state",
        "anchoring/ledger_alarms",
        "recording/key_match", "recording/config_change", "acquisition/meter_identity", "recording/commits",
        "anchoring/ledger_comparison", "agent/config_diff", "anchoring/ledger_drivers", "agent/epoch",
        "storage/capacity/forecast", "recording/journal", "config/device_keys", "evidence/prove",
        "anchoring/reconciliation", "anchoring/refusals", "agent/reload", "storage/recovery/repair_report",
        "evidence/settlement", "runtime/context",
        "storage/database", "anchoring/uplink",
        "fieldbus/line_alarms", "fieldbus/sleep", "fieldbus/open_line", "fieldbus/modbus/serial_port",
        "dashboard/actions",
        "dashboard/app", "dashboard/routes", "dashboard/auth/login_limits", "dashboard/db_readers",
        "dashboard/pages/batches",
        "dashboard/pages/meter", "dashboard/pages/record",
    )),
    # what a change of gateway.toml is refused with
    *(ROOT / "gateway" / f"{name}.py" for name in (
        "config/model", "config/load", "config/key_errors", "process/file_owner", "commissioning/line_plan",
        "process/instance_lock", "process/control_socket", "config/feed", "config/ledger",
        "config/web", "config/field_types", "config/place",
        "devices/key_values", "devices/read_plan", "devices/points", "devices/profile", "devices/profile_rules",
        "devices/scaling_rules", "devices/units", "fieldbus/endpoints", "storage/recovery/repair",
    )),
    *(ROOT / "ledger_client" / f"{name}.py" for name in (
        "verification/trust", "transport/access", "transport/bounded_http", "ledgers/evm/driver",
        "ledgers/evm/account", "ledgers/evm/node",
        "ledgers/http", "ledgers/mqtt", "transport/http_session", "transport/tls",
    )),
]  # fmt: skip
UNSEEN = {name for name, _ in CHECKS} | {
    # what a log, a thread, a file or another program is told
    "the reads in flight are finished, then coverage is written", "check of the database",
    "opening the database; one that is damaged is recovered first",
    "# The public keys of this gateway: for whoever runs the ledger (meterseal-ledger enroll).\n", "exclusively lock",
    "no such table", "Could not decode to UTF-8", "it was found", "its state says so",
    r"Cannot declare \('([a-z_]+)',\) twice",
    # answers without a page
    "too many requests\n", "there is no such file\n", "log in first\n",
    # on a terminal; where a text is taken apart
    "    way out: 7002", " Way out: ", "Value error, ", "%s: neither receipt nor refusal on %s: %s",
}  # fmt: skip
WORDS = re.compile(r"[a-z]{2,} [a-z]|[a-z] [a-z]{2,}")
"""Two words one after the other: a sentence, or the beginning of one."""
SQL = re.compile("[A-Z]{4,} ")
FOREIGN = ("spans", "system", "together")
"""Sections of what stands in one piece nowhere in our code: others' words, and what is put together of pieces."""


def sections() -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / "gateway/dashboard/sentences.toml").read_text())


def template(node: ast.expr) -> str | None:
    """A literal or an f-string as it stands in a table: a number in each blank."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else str(7001 + n) for n, part in enumerate(node.values)]
        return "".join(map(str, parts))
    return None


def texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of all that a module may say; not what it logs, documents or asks its database."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        if isinstance(child, ast.Call) and ast.unparse(child.func).startswith(("log.", "self._log.")):
            continue
        if isinstance(child, ast.Call) and ast.unparse(child.func) == "in_thread":
            yield from texts(child.args[0])  # behind it stands the thread's name
            continue
        if isinstance(child, ast.Constant | ast.JoinedStr) and (text := template(child)):
            yield child.lineno, text
        if isinstance(child, ast.JoinedStr):
            for part in child.values:  # a text within: {"a" if b else "c"}
                if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.IfExp | ast.BoolOp):
                    yield from texts(part)
        else:
            yield from texts(child)


def english(text: str) -> list[str]:
    """What is left of it in English, commands between backticks apart."""
    return WORDS.findall(re.sub(r"`[^`]*`", "", text))


@pytest.mark.parametrize("producer", PRODUCERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_sentence_of_a_producer_is_in_the_table(producer: Path) -> None:
    left = {}
    for line, text in texts(ast.parse(producer.read_text())):
        shown = text.removeprefix("+ ")  # of a line of a difference
        if not english(shown) or text in UNSEEN or SQL.match(text):
            continue
        if english(said(shown)) and english(said(f"7000{shown}")):  # a part may need something in front of it
            left[f"{producer.relative_to(ROOT)}:{line}"] = f"{shown} → {said(shown)}"
    assert left == {}


def literals() -> str:
    """Every piece of a text between blanks in all of the product."""
    found = []
    for path in [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "ledger_client").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_table_holds_nothing_that_nobody_says() -> None:
    everything = literals()
    own = {english for name, section in sections().items() if name not in FOREIGN for english in section}
    pieces = {key: [piece for piece in re.split(r"\{\w+\}|[:;.] ", key) if len(piece) > 3] for key in own}
    assert {
        key: [p for p in those if p not in everything]
        for key, those in pieces.items()
        if any(p not in everything for p in those)
    } == {}


def fields(text: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]


def test_both_languages_have_the_same_blanks() -> None:
    assert {en: zh for en, zh in sentences().items() if sorted(fields(en)) != sorted(fields(zh))} == {}


def test_every_blank_has_an_end_and_a_name_of_its_own() -> None:
    assert [key for key in sentences() if "}{" in key or len(set(fields(key))) < len(fields(key))] == []


def test_chinese_is_chinese() -> None:
    commands = [en for en, zh in sentences().items() if not re.search("[\u4e00-\u9fff（]", zh) and "`" not in zh]
    assert commands == []


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("bus-1: the line answers again", "bus-1：线路恢复应答"),
        (
            "acknowledged: bus-1: /dev/ttyS1: there is no such port; it is tried again every 2 s; check adapter, cable "
            "and network (meters a and b)",
            "已确认：bus-1：/dev/ttyS1：没有此端口；每 2 秒重试一次；请检查适配器、电缆和网络（电表 a and b）",
        ),
        (
            "7 years left at this rate: 1 MB of 2 GB used, 3 MB a day",
            "按目前速度还可维持 7 年：已用 1 MB，上限 2 GB，每天增加 3 MB",
        ),
        ("10.0.0.9:502 closed the connection without an answer", "10.0.0.9:502 未应答就关闭了连接"),
        (
            "b: 10.0.0.9:502: the device closed the connection behind its answer, and takes no other: 10.0.0.9:502 "
            "does not answer the connection; it is tried again every 2 s; check adapter, cable and network",
            "b：10.0.0.9:502：设备在应答后关闭了连接，且不接受新的连接：10.0.0.9:502 不响应连接；每 2 秒重试一次；"
            "请检查适配器、电缆和网络",
        ),
        ("m on b: power, energy stands still", "b 上的 m：power, energy 不变化"),
        ("x s", "x s"),
        ("{meter} answers again", "{meter} 恢复应答"),
        ("", ""),
        ("nobody knows this sentence; nor this one", "nobody knows this sentence; nor this one"),
        ("nobody knows this; nothing is lost meanwhile", "nobody knows this；期间数据不会丢失"),
    ],
)  # fmt: skip
def test_what_is_known_is_said_in_chinese(text: str, chinese: str) -> None:
    assert said(text) == chinese


HOSTILE = [
    "answers again " * 140,
    ": " * 900,
    "a; " * 10,
    "m: " * 20 + "the line answers again",
    " and ".join(sentences())[:LONGEST],
    "; ".join(sentences())[:LONGEST],
    " ".join(sorted(set(re.findall("[A-Za-z]+", " ".join(sentences())))))[:LONGEST],
    "{0.__class__} answers again; {n!r} {} }{ {{",
    "x" * 100_000,
    "\x00\u202e answers again\n\n",
    ": ".join(["meter x, key (y)"] * 12),
    "; ".join(["ledger x, cert, ca (ledger y, cert (meter z) and 5 more)"] * 24),
    "(".join(["ledger x, cert, synchronised: ledger y "] * 20) + ")" * 20,
]


def calls(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a sentence is laid against a part of the text."""
    count, fit = [0], module.Sentence.fit

    def counted(sentence: module.Sentence, part: str, *, tight: bool) -> object:
        count[0] += 1
        return fit(sentence, part, tight=tight)

    monkeypatch.setattr(module.Sentence, "fit", counted)
    said.__wrapped__(text)
    monkeypatch.undo()
    return count[0]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_costs_much_or_breaks_anything(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert calls(text, monkeypatch) <= MOST_LOOKS
    assert "<" not in said(text)


def test_only_so_many_are_remembered() -> None:
    for n in range(2 * KEPT):
        assert said(f"m{n} answers again") == f"m{n} 恢复应答"
    assert said.cache_info().currsize <= KEPT
