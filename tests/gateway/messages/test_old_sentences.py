"""Finished English texts are said in Chinese, as far as the table has them, and hostile texts cost nothing."""

from __future__ import annotations

import re
import string

import pytest

from gateway.messages import old_sentences as module
from gateway.messages.old_sentences import KEPT, LONGEST, MOST_LOOKS, said, sentences


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
